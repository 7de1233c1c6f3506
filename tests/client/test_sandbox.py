"""What a worker's starter asks of the system, in which order, and what it says (see test_worker).

The system is replaced by a list here; tests/client/test_worker.py looks from inside a real one.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from client import sandbox
from client.sandbox import Orders, main, orders_text


class System:
    """Does what it is asked, or fails at one call."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append((name, *arguments))
            return -1 if name == self._fails or (name == "prctl" and arguments[1] == 41) else 0

        return call

    def request(self, handle: object, number: int, content: bytes) -> bytes:
        """Of a network's loopback, whose flags are 8 and which is down."""
        del handle
        self.asked.append(("ioctl", number, content))
        if self._fails == "ioctl":
            raise PermissionError(1, "not allowed")
        return struct.pack("16sh14x", b"lo", 8)

    @property
    def order(self) -> list[str]:
        """Names of the calls, one after the other, each once in a row."""
        names = [each[0] for each in self.asked]
        return [name for place, name in enumerate(names) if names[:place][-1:] != [name]]


def started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, system: System, **changes: Any
) -> dict[str, str]:
    """What the starter says before it becomes the command."""
    told, tell = os.pipe()
    monkeypatch.setattr(sandbox, "_library", lambda: system)
    monkeypatch.setattr("client.sandbox.ctypes.get_errno", lambda: 1)
    monkeypatch.setattr(sandbox, "ioctl", system.request)
    monkeypatch.setattr(os, "execv", lambda *command: system.asked.append(("execv", *command)))
    monkeypatch.setattr(
        Path, "write_text", lambda path, text: system.asked.append((path.name, text))
    )
    orders: dict[str, Any] = {
        "parent": os.getppid(), "hidden": (str(folder),), "read_only": (str(folder),),
        "wanted": True, "required": False, "told": tell, "command": ("/bin/true", "x"),
    }  # fmt: skip
    try:
        main(Orders(**json.loads(orders_text(Orders(**(orders | changes))))))
        with os.fdopen(told, "rb") as end:
            said: dict[str, str] = json.loads(end.read())
        return said
    finally:
        if ("execv",) not in [each[:1] for each in system.asked]:
            os.close(tell)
            os.close(told)


@pytest.mark.parametrize("user", [0, 1000])
def test_walls_come_first_then_rights_go_then_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    """An ordinary user makes users of his own; the administrator needs none."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    system = System()
    said = started(tmp_path, monkeypatch, system)
    assert said == {"sandbox": "network, files, rights", "why": ""}
    mapped = ["setgroups", "uid_map", "gid_map"] if user else []
    assert system.order == ["prctl", "unshare", *mapped, "ioctl", "mount", "prctl", "execv"]
    assert system.asked[-1] == ("execv", "/bin/true", ["/bin/true", "x"])
    assert system.asked[-2][:3] == ("prctl", 38, 1)


def test_only_the_new_network_s_own_loopback_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the network is new; where it cannot be, the worker is shut in all the same."""
    system = System()
    started(tmp_path, monkeypatch, system)
    names = [each[0] for each in system.asked]
    assert names.index("unshare") < names.index("ioctl")
    raised = [each[2] for each in system.asked if each[:2] == ("ioctl", 0x8914)]
    assert raised == [struct.pack("16sh14x", b"lo", 9)]
    said = started(tmp_path, monkeypatch, System(fails="ioctl"), required=True)
    assert said["sandbox"] == "network, files, rights"


def test_what_the_system_forbids_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the command runs without it, unless it is required."""
    system = System(fails="unshare")
    said = started(tmp_path, monkeypatch, system)
    assert said["sandbox"] == ""
    assert "unshare" in said["why"]
    with pytest.raises(OSError, match="unshare"):
        started(tmp_path, monkeypatch, System(fails="unshare"), required=True)


def test_nothing_is_tried_that_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But that it dies with the guard."""
    system = System()
    assert started(tmp_path, monkeypatch, system, wanted=False)["why"] == "not wanted"
    assert system.order == ["prctl", "execv"]


def test_without_its_guard_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have died before the starter could say whose it is."""
    with pytest.raises(OSError, match="guard is gone"):
        started(tmp_path, monkeypatch, System(), parent=1)
