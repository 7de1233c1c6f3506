"""Each run of a server is told once: its plan, its beginning, its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from server.home import ServerHome
from server.progress_file import PROGRESS, Opened, line_of
from server.run_folder import RunFolder
from server.run_watch import RunWatch
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import StateError

BUNDLE = "ab" * 32
SETTINGS: dict[str, Scalar] = {"task": "digits", "rounds": 3}
PLAN = PrivacyPlan.from_config(RunConfig.from_run_config(SETTINGS)).digest()
Told = list[tuple[str, dict[str, Any]]]


class Link:
    """Runs as the SuperLink lists them."""

    def __init__(self, **status: str) -> None:
        self.status = status
        self.settings: Mapping[str, Scalar] = SETTINGS
        self.failed: list[str] = []

    def runs(self) -> list[dict[str, str]]:
        """Number and status."""
        return [{"run_id": name[1:], "status": status} for name, status in self.status.items()]

    def order_of(self, run_id: str) -> tuple[str, Mapping[str, Scalar]]:
        """The same for all."""
        del run_id
        return BUNDLE, self.settings

    def fail(self, run_id: str, why: str) -> None:
        """As the SuperLink does it."""
        assert "resumed" in why
        self.failed.append(run_id)
        self.status[f"_{run_id}"] = "finished:failed"


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """A home with a folder for state."""
    made = ServerHome(tmp_path)
    made.state.mkdir()
    return made


def watch(home: ServerHome, link: Link) -> tuple[RunWatch, Told]:
    """A watch, and what it tells."""
    told: Told = []

    def tell(event: str, /, **detail: str | int) -> None:
        told.append((event, detail))

    return RunWatch(home, link, tell), told


def test_a_run_is_told_when_it_starts_and_when_it_ends(home: ServerHome) -> None:
    """Once, however often somebody looks, and by a server that started anew."""
    link = Link(_7="pending")
    watching, told = watch(home, link)
    watching.look()
    assert told == []
    link.status["_7"] = "running"
    watching.look()
    watching.look()
    assert told == [
        ("plan", {"run": "7", "plan": PLAN, "rounds": 3, "bundle": BUNDLE}),
        ("run_started", {"run": "7", "bundle": BUNDLE}),
    ]
    link.status["_7"] = "finished:completed"
    watching, told = watch(home, link)
    watching.look()
    watching.look()
    assert told == [("run_ended", {"run": "7", "outcome": "completed"})]
    watching, told = watch(home, link)
    watching.look()
    assert told == []


def test_an_app_of_another_kind_has_no_plan(home: ServerHome) -> None:
    """That it ran is told all the same; a strange outcome is a code."""
    link = Link(_7="finished:No Heartbeat!", _8="finished")
    link.settings = {"lr": 0.5}
    watching, told = watch(home, link)
    watching.look()
    assert [event for event, _ in told] == ["run_started", "run_ended"] * 2
    assert [detail["outcome"] for event, detail in told if event == "run_ended"] == [
        "no_heartbeat",
        "unknown",
    ]


def test_what_could_not_be_told_is_told_later(home: ServerHome) -> None:
    """A log that fails loses nothing."""

    def fails(event: str, /, **detail: str | int) -> None:
        raise StateError(f"{event} {len(detail)}")

    link = Link(_7="running")
    with pytest.raises(StateError):
        RunWatch(home, link, fails).look()
    watching, told = watch(home, link)
    watching.look()
    assert [event for event, _ in told] == ["plan", "run_started"]


def test_a_run_whose_process_died_is_ended(home: ServerHome, tmp_path: Path) -> None:
    """At the third look, and once; one that is held, or that nobody can read, is left alone."""
    link = Link(_7="running", _8="running", _9="running")
    link.settings = {"output.dir": str(tmp_path), "output.run_id": "run"}
    folder = RunFolder(tmp_path / "run")
    folder.create()
    watching, told = watch(home, link)
    with folder.held():
        folder.append_line(PROGRESS, line_of(Opened(1, "7")), durable=False)
        for _ in range(5):
            watching.look()
    assert link.failed == []
    for _ in range(5):
        watching.look()
    assert link.failed == ["7"]
    assert ("run_ended", {"run": "7", "outcome": "failed"}) in told
    folder.append_line(PROGRESS, {"event": "of another form"}, durable=False)
    for _ in range(5):
        watching.look()
    assert link.failed == ["7"]
