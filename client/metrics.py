"""What a site's guard counts, for the textfile collector of the site's own node_exporter.

Counted is what the audit log took: nothing is in here that is not there.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from client.home import SiteHome
from client.recorder import Recorder
from shared.durable import write_private
from shared.prometheus import metric


class SiteMetrics:
    """A recorder that counts.

    Args:
        record: Where events are kept; what that raises is raised, and not counted.
    """

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._lock = threading.Lock()
        self._left, self._bytes = Counter[str](), Counter[str]()
        self._refused = Counter[str]()

    def __call__(self, event: str, /, **detail: str | int) -> None:
        """Keep one event, and count it."""
        self._record(event, **detail)
        with self._lock:
            if event == "left":
                self._left[str(detail["kind"])] += 1
                self._bytes[str(detail["kind"])] += int(detail["bytes"])
            elif event == "refused":
                self._refused[str(detail["reason"])] += 1

    def text(self, said: Mapping[str, Any], expires: float) -> str:
        """Everything, in Prometheus' format.

        Args:
            said: What the guard says of itself, as in status.json.
            expires: End of its certificate.
        """
        with self._lock:
            left, sizes, refused = dict(self._left), dict(self._bytes), dict(self._refused)
        workers = sum(worker["process"] is not None for worker in said.get("workers", []))
        return "".join(
            [
                metric("site_connected", "gauge", {"": int(said["state"] == "connected")}),
                metric("site_messages_total", "counter", {"": said["count"]}),
                metric("site_workers", "gauge", {"": workers}),
                metric("site_certificate_expires_seconds", "gauge", {"": expires}),
                metric("site_left_total", "counter", left, "kind"),
                metric("site_left_bytes_total", "counter", sizes, "kind"),
                metric("site_refused_total", "counter", refused, "reason"),
            ]
        )

    def write(self, home: SiteHome, said: Mapping[str, Any], expires: float) -> None:
        """`metrics.prom` in the home is as of now. Raises StateError."""
        write_private(home.metrics, self.text(said, expires).encode())
