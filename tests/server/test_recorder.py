"""Where events go: one place decides it for all processes and commands of a home."""

from pathlib import Path

from server.home import ServerHome
from server.recorder import recorder_of, unrecorded


def test_without_an_audit_log_nothing_is_kept(tmp_path: Path) -> None:
    """The default; no file appears."""
    record = recorder_of(ServerHome(tmp_path))
    record("joined", site="site-a", again=False)
    unrecorded("revoked", site="site-a", serial="1")
    assert list(tmp_path.iterdir()) == []
