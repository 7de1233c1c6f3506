"""A service in the background: waited for, and its failure told with its own words."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from murmura import detaching
from server.founding import found
from server.home import ServerHome
from shared.errors import StateError
from tests.server.served import SETTINGS


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """A new server's."""
    made = ServerHome(tmp_path / "home")
    found(made, SETTINGS)
    return made


class Instead:
    """Starts another program than the one that was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        self.asked: list[Sequence[str]] = []
        self.started: list[subprocess.Popen[bytes]] = []
        real = subprocess.Popen

        def start(command: Sequence[str], **given: Any) -> "subprocess.Popen[bytes]":
            self.asked.append(command)
            self.started.append(real([sys.executable, "-c", code], **given))
            return self.started[-1]

        monkeypatch.setattr(subprocess, "Popen", start)


def test_it_is_waited_for_until_it_tells_of_itself(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of no other process before it."""
    instead = Instead(monkeypatch, "import time; time.sleep(60)")
    told: list[Any] = [None, {"pid": -1}]

    def facts(_home: ServerHome) -> Any:
        return told.pop(0) if told else {"pid": instead.started[0].pid}

    monkeypatch.setattr(detaching, "facts_of", facts)
    assert detaching.start_detached(home) == {"pid": instead.started[0].pid}
    assert list(instead.asked[0][1:]) == ["-m", "server.service", "--home", str(home.root)]
    instead.started[0].kill()
    instead.started[0].wait()


def test_one_that_ends_at_once_says_why(home: ServerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last line of its log."""
    Instead(monkeypatch, "print('the port is taken')")
    with pytest.raises(StateError, match="the port is taken"):
        detaching.start_detached(home)


def test_there_is_no_second_one(home: ServerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started beside one that runs."""
    monkeypatch.setattr(detaching, "running_pid", lambda _home: 5)
    with pytest.raises(StateError, match="one that runs"):
        detaching.start_detached(home)
