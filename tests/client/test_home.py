"""A site's home: private from the first byte, and one guard at a time."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from client.home import HOME_VARIABLE, SiteHome
from shared.errors import StateError
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home


def test_everything_in_a_home_is_its_owners_alone(tmp_path: Path) -> None:
    """Folders 0700, files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        home = made_home(tmp_path / "home", TestAuthority.new())
    finally:
        os.umask(before)
    home.check()
    for path in home.root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.parent != home.ledger:  # its own tests look at that
            assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["pki/site.key", "keys", "keys/node.key", "state", "."])
def test_a_home_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    """Whoever reads a key is the site."""
    home = made_home(tmp_path / "home", TestAuthority.new())
    (home.root / name).chmod(0o755 if (home.root / name).is_dir() else 0o644)
    with pytest.raises(StateError, match="its owner's alone"):
        home.check()


def test_a_folder_that_others_can_read_becomes_no_home(tmp_path: Path) -> None:
    """It says what to do, and nothing is made in it."""
    tmp_path.chmod(0o755)
    with pytest.raises(StateError, match=f"got mode 755; chmod go= {tmp_path}"):
        SiteHome(tmp_path).create()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_site_joined_from_is_no_home(tmp_path: Path) -> None:
    """It says which command makes one."""
    with pytest.raises(StateError, match="murmura client join"):
        SiteHome(tmp_path).check()
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        SiteHome(tmp_path / "file").create()


def test_the_home_is_the_given_one_or_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the usual one."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "there"))
    assert SiteHome.chosen(tmp_path).root == tmp_path
    assert SiteHome.chosen(None).root == tmp_path / "there"
    monkeypatch.delenv(HOME_VARIABLE)
    assert SiteHome.chosen(None).root == Path("~/.murmura/client").expanduser()


def test_one_guard_at_a_time_runs_from_a_home(tmp_path: Path) -> None:
    """The lock tells, not a number that a dead process left."""
    home = made_home(tmp_path / "home", TestAuthority.new())
    assert home.running() is None
    with home.held():
        assert home.running() == os.getpid()
        with pytest.raises(StateError, match="runs from"), home.held():
            raise AssertionError
    assert home.running() is None
    home.pid.write_text("1")
    assert home.running() is None


def test_a_killed_guard_leaves_the_home_free(tmp_path: Path) -> None:
    """As `kill -9` does."""
    home = made_home(tmp_path / "home", TestAuthority.new())
    code = (
        "import sys; from pathlib import Path; from client.home import SiteHome\n"
        "with SiteHome(Path(sys.argv[1])).held(): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", code, str(home.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert home.running() == process.pid
    process.kill()
    process.communicate()
    assert home.running() is None
