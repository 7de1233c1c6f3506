"""A service that only pretends, and a run that a thread plays: for the commands around them."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from server.founding import found
from server.home import ServerHome
from server.progress import RunFinished, RunStarted
from server.progress_file import Ended, Opened, line_of
from server.run_control import RunControl, SubmittedRun
from server.run_folder import RunFolder
from shared.config import Scalar
from shared.errors import FederationError, StateError
from tests.murmura.scripted import round_finished, summary
from tests.server.served import SETTINGS

NUMBER, NODE = 7000, 18_000_000_000_000_000_000


def begun(folder: Path) -> RunStarted:
    """With no claim: those of a plan are tested elsewhere."""
    return RunStarted(
        run_id=folder.name, folder=folder, rounds=3, population=2, task="digits", model="",
        dimension=10, planned_claims=(), seeded=False, first_round=1,
    )  # fmt: skip


@dataclass
class Pretended:
    """In the place of `RunControl`, of the service's status, and of the server's part of a run.

    Attributes:
        home: The server's.
        sites: Enrolled sites, and whether they are online.
        failure: What ends a run after its first round.
        lingers: A run goes on until it is stopped.
        refused: Flower's details of a run that never had a folder.
        dies: It ends after its first round and says nothing.
        gone: The service does not answer any more.
        reached: Called after its first round.
        submitted: What was asked for, by Flower's number.
        bundles: With which code.
        runs: As Flower sees them.
        stopped: Somebody asked a run to end.
    """

    home: ServerHome
    sites: dict[str, bool] = field(default_factory=lambda: {"site-a": True, "site-b": True})
    failure: FederationError | None = None
    lingers: bool = False
    refused: str = ""
    dies: bool = False
    gone: bool = False
    reached: Callable[[], None] = lambda: None
    submitted: dict[str, Mapping[str, Scalar]] = field(default_factory=dict)
    bundles: list[bytes] = field(default_factory=list)
    runs: dict[str, SubmittedRun] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def control(self, port: int) -> "PretendedControl":
        """What `RunControl(port)` becomes."""
        return PretendedControl(port, self)

    def status(self, _facts: object) -> dict[str, Any]:
        """What `status_of` becomes."""
        states = [
            {"name": name, "online": online, "state": "active", "node": str(NODE + place)}
            for place, (name, online) in enumerate(self.sites.items())
        ]
        return {
            "sites": [*states, {"name": "old", "online": False, "state": "revoked", "node": ""}]
        }

    def play(self, number: str) -> None:
        """What the server's part of a run does that a command can see."""
        name = str(self.submitted[number]["output.run_id"])
        folder = RunFolder(self.home.runs / name)
        folder.path.mkdir(exist_ok=True)
        folder.write_json("config.json", _described(self.submitted[number]))
        status = "finished:failed"
        with folder.held():
            folder.append_line("progress.jsonl", line_of(Opened(1, number)), durable=False)
            for event in (begun(folder.path), round_finished(1, rounds=3)):
                folder.append_line("progress.jsonl", line_of(event), durable=False)
            self.reached()
            if self.lingers and self.stopped.wait(20) and self.failure is None:
                return
            if self.failure is not None:
                line = line_of(Ended(type(self.failure).__name__, str(self.failure)))
                folder.append_line("progress.jsonl", line, durable=False)
            elif not self.dies:
                folder.write_json("summary.json", summary())
                line = line_of(RunFinished(folder=folder.path, summary={}))
                folder.append_line("progress.jsonl", line, durable=False)
                status = "finished:completed"
        if not (self.dies or self.stopped.is_set()):
            self.runs[number] = replace(self.runs[number], status=status)


class PretendedControl(RunControl):
    """Plays what is submitted in a thread."""

    def __init__(self, port: int, service: Pretended) -> None:
        super().__init__(port)
        self._service = service

    def start(self, bundle: bytes, overrides: Mapping[str, Scalar]) -> str:
        """As the real one."""
        service = self._service
        number = str(NUMBER + len(service.submitted))
        service.submitted[number] = dict(overrides)
        service.bundles.append(bundle)
        status = "finished:failed" if service.refused else "running"
        name = str(overrides["output.run_id"])
        service.runs[number] = SubmittedRun(number, name, status, service.refused)
        if not service.refused:
            threading.Thread(target=service.play, args=(number,), daemon=True).start()
        return number

    def stop(self, number: str) -> None:
        """As the real one."""
        service = self._service
        service.runs[number] = replace(service.runs[number], status="finished:stopped")
        service.stopped.set()

    def runs(self, number: str | None = None) -> list[SubmittedRun]:
        """As the real one."""
        if self._service.gone:
            raise StateError("the service does not answer")
        return [run for key, run in self._service.runs.items() if number in {None, key}]


def _described(overrides: Mapping[str, Scalar]) -> dict[str, Any]:
    """As the server's part writes it."""
    return {
        key: {"value": value, "origin": "default"}
        for key, value in overrides.items()
        if key != "output.origins"
    }


def pretended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """A home with a service that pretends, as $MURMURA_HOME."""
    home = ServerHome(folder / "home")
    found(home, SETTINGS)
    service = Pretended(home)
    for place in ("murmura.submitting", "server.local_client"):
        monkeypatch.setattr(f"{place}.facts_of", lambda _home: {"internal": 1})
    for place in ("murmura.submitting", "server.run_control"):
        monkeypatch.setattr(f"{place}.RunControl", service.control)
    monkeypatch.setattr("murmura.submitting.status_of", service.status)
    monkeypatch.setattr("murmura.playing.installed_bundle", lambda: b"the installed code")
    monkeypatch.setattr("murmura.following._SETTLE_S", 0.2)
    monkeypatch.setattr("murmura.following._ASK_S", 0.1)
    monkeypatch.setenv("MURMURA_HOME", str(home.root))
    return service


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
