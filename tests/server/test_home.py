"""The home's files: private from the first moment, whole or absent, made once."""

import os
from pathlib import Path

import pytest

from server.founding import found
from server.home import ServerHome, Watched, default_home
from server.settings import ServerSettings
from shared.durable import write_private
from shared.errors import ConfigurationError, StateError

SETTINGS = ServerSettings(names=("fl.example.org",))


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """A server's home, as it was made."""
    made = ServerHome(tmp_path / "home")
    found(made, SETTINGS)
    return made


def test_everything_that_is_made_is_its_owners_alone(home: ServerHome) -> None:
    """Whatever the process's umask was."""
    paths = [home.root, *home.root.rglob("*")]
    assert len(paths) > 12
    for path in paths:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_home_is_made_once(home: ServerHome) -> None:
    """A second one would throw the sites' certificates away."""
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    with pytest.raises(StateError, match="never overwritten"):
        found(home, SETTINGS)
    assert before == {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_a_home_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """Instead of a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        ServerHome(tmp_path / "file" / "home").create()


@pytest.mark.parametrize("name", ["", "pki", "keys", "pki/ca.key", "keys/app.key"])
def test_a_home_that_others_can_read_is_refused(home: ServerHome, name: str) -> None:
    """Also where only the group can."""
    home.check()
    path = home.root / name
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(StateError, match="owner's alone"):
        home.check()


def test_no_home_is_said_to_be_none(tmp_path: Path) -> None:
    """With the command that makes it."""
    with pytest.raises(StateError, match="murmura server init"):
        ServerHome(tmp_path).check()
    with pytest.raises(StateError, match=r"server\.toml cannot be read"):
        ServerHome(tmp_path).settings()


def test_settings_are_read_from_the_home(home: ServerHome) -> None:
    """And checked."""
    assert home.settings() == SETTINGS
    write_private(home.settings_file, b"names = 3\n")
    with pytest.raises(ConfigurationError, match="names"):
        home.settings()


def test_a_watched_file_is_read_again_when_it_was_replaced(tmp_path: Path) -> None:
    """And not otherwise; a missing one is read once too."""
    path, reads = tmp_path / "file", list[str]()

    def read(place: Path) -> str:
        reads.append(place.read_text() if place.exists() else "")
        return reads[-1]

    watched = Watched(path, read)
    assert [watched.value(), watched.value()] == ["", ""]
    write_private(path, b"one")
    assert [watched.value(), watched.value()] == ["one", "one"]
    write_private(path, b"two")
    assert watched.value() == "two"
    assert reads == ["", "one", "two"]


def test_the_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else below the user's own."""
    monkeypatch.setenv("MURMURA_HOME", "/srv/fl")
    assert default_home() == Path("/srv/fl")
    monkeypatch.delenv("MURMURA_HOME")
    assert default_home() == Path.home() / ".murmura" / "server"


def test_changes_wait_for_one_another(home: ServerHome) -> None:
    """The lock is one of the home, whoever opens it."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    with home.locked():
        descriptor = os.open(home.root / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            flock(descriptor, LOCK_EX | LOCK_NB)
    flock(descriptor, LOCK_EX | LOCK_NB)
    os.close(descriptor)
