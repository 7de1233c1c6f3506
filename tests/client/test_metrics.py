"""A guard counts what its audit log took, and writes it for a collector."""

from pathlib import Path
from typing import Any

import pytest

from client.home import SiteHome
from client.metrics import SiteMetrics
from client.recorder import unrecorded
from shared.errors import StateError

SAID: dict[str, Any] = {
    "state": "connected", "count": 5, "workers": [{"process": 3}, {"process": None}],
}  # fmt: skip


def test_what_left_and_what_was_refused_is_counted(tmp_path: Path) -> None:
    """By kind and by rule; its file is its owner's alone."""
    counted = SiteMetrics(unrecorded)
    for size in (10, 20):
        counted("left", kind="train", bytes=size)
    counted("refused", reason="noise_too_small")
    counted("started", pid=1)
    home = SiteHome(tmp_path)
    counted.write(home, SAID, 1e9)
    assert home.metrics.stat().st_mode & 0o077 == 0
    assert [line for line in home.metrics.read_text().splitlines() if line[0] != "#"] == [
        "murmura_site_connected 1",
        "murmura_site_messages_total 5",
        "murmura_site_workers 1",
        "murmura_site_certificate_expires_seconds 1000000000.0",
        'murmura_site_left_total{kind="train"} 2',
        'murmura_site_left_bytes_total{kind="train"} 30',
        'murmura_site_refused_total{reason="noise_too_small"} 1',
    ]


def test_what_the_log_did_not_take_is_not_counted() -> None:
    """It did not happen: nothing left."""

    def fails(event: str, /, **detail: str | int) -> None:
        raise StateError(f"{event} {len(detail)}")

    counted = SiteMetrics(fails)
    with pytest.raises(StateError):
        counted("left", kind="train", bytes=10)
    assert 'left_total{kind="train"}' not in counted.text(SAID, 1e9)
