"""Where events go: the home's audit log, signed by the key that its sites know."""

from pathlib import Path

from server.app_key import read_app_key
from server.founding import found
from server.home import ServerHome
from server.recorder import recorder_of, unrecorded
from shared.audit_check import verify
from tests.server.served import SETTINGS


def test_what_is_recorded_is_signed_by_the_app_key(tmp_path: Path) -> None:
    """By whichever command or process of the home; its owner alone can read it."""
    home = ServerHome(tmp_path / "home")
    found(home, SETTINGS)
    recorder_of(home)("invited", site="site-a", expires=7)
    recorder_of(home)("revoked", site="site-a", serial="1")
    known = verify(home.audit, read_app_key(home).public_key())
    assert (known.intact, known.head.n) == (True, 2)
    assert home.audit.stat().st_mode & 0o077 == 0


def test_nothing_is_kept_where_nothing_is_recorded() -> None:
    """A server within a test, say."""
    unrecorded("revoked", site="site-a", serial="1")
