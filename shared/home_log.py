"""What one process enters into its home's audit log, bounded where others decide how much.

Several processes and threads of a home may each have one; the log is locked for every entry, and
stays one chain. A flood of refusals cannot fill the disk: of each process at most so many a minute
are entered, and the next one says how many were not.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit_log import AuditLog

REFUSALS_A_MINUTE = 60
_REFUSED = "refused"
_MINUTE_S = 60.0


class HomeLog:
    """Keeps events; made without a look at the disk, opened by the first entry.

    Args:
        path: The log.
        read_key: Of the home; called once, when the log is opened.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        path: Path,
        read_key: Callable[[], Ed25519PrivateKey],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._read_key, self._clock = path, read_key, clock
        self._lock = threading.Lock()
        self._log: AuditLog | None = None
        self._minute, self._entered, self._unrecorded = clock(), 0, 0

    def __call__(self, event: str, /, **detail: str | int) -> None:
        """The event is on disk when this returns, or it is a refusal too many, and counted.

        Raises:
            StateError: the log cannot be written, or was damaged; nothing is entered.
            ConfigurationError: the event, or a field of it, is none that a log may hold.
        """
        with self._lock:
            if event == _REFUSED:
                if self._is_too_many():
                    self._unrecorded += 1
                    return
                if self._unrecorded:
                    detail["unrecorded_before"] = self._unrecorded
            if self._log is None:
                self._log = AuditLog(self._path, self._read_key())
            self._log.append(event, **detail)
            if event == _REFUSED:
                self._entered += 1
                self._unrecorded = 0

    def _is_too_many(self) -> bool:
        now = self._clock()
        if now - self._minute >= _MINUTE_S:
            self._minute, self._entered = now, 0
        return self._entered >= REFUSALS_A_MINUTE
