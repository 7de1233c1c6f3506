"""What a run tells reaches another process whole, and how it ended too."""

import json
import math
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from server.progress import LOGGER, Progress, RoundFinished, RunFinished, RunStarted, tell
from server.progress_file import (
    PROGRESS,
    Ended,
    Opened,
    ProgressReader,
    error_of,
    event_of,
    kind_of,
    line_of,
    progress_file,
)
from server.run_folder import RunFolder
from shared.config import RunConfig
from shared.dp.claims import planned_claims
from shared.dp.plan import PrivacyPlan
from shared.errors import (
    AggregationRefused,
    BudgetExhausted,
    FederationError,
    StateError,
    TooFewSurvivors,
)


class PolicyRefused(BudgetExhausted):
    """A class that shared/errors.py does not know."""


def events(folder: Path) -> list[Progress]:
    """One of each kind, with what is infinite, missing and empty."""
    plan = PrivacyPlan.from_config(RunConfig.from_run_config({"privacy.unit": "client"}))
    started = RunStarted(
        run_id="mine", folder=folder, rounds=3, population=2, task="digits", model="",
        dimension=7, planned_claims=planned_claims(plan), seeded=True, first_round=2,
        aggregation="by masks",
    )  # fmt: skip
    done = RoundFinished(
        round_number=2, rounds=3, asked=2, answered=1, lost=1, loss=math.inf, accuracy=None,
        epsilon=math.inf, epsilon_budget=8.0, seconds=0.5, quarantined=("site-a",),
        metrics={"rmse": math.inf},
    )  # fmt: skip
    return [started, done, RunFinished(folder=folder, summary={"status": "finished"})]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run that has a summary."""
    (tmp_path / "summary.json").write_text('{"status": "finished"}')
    return RunFolder(tmp_path)


def test_every_event_comes_back_as_it_was(folder: RunFolder) -> None:
    """Over strict JSON; claims, too, but that parts of their cross-check are texts."""
    for event in [*events(folder.path), Opened(3, "17"), Ended("StateError", "why")]:
        line = json.loads(json.dumps(line_of(event), allow_nan=False))
        back = event_of(line)
        if isinstance(event, RunStarted) and isinstance(back, RunStarted):
            assert [c.to_json() for c in back.planned_claims] == [
                c.to_json() for c in event.planned_claims
            ]
            assert any(math.isinf(claim.epsilon) for claim in back.planned_claims)
            back = replace(back, planned_claims=event.planned_claims)
        assert back == event


@pytest.mark.parametrize(
    "line", [{}, {"event": "tea"}, {"event": "round"}, {"event": "started", "planned_claims": [1]}]
)
def test_a_line_of_another_form_is_refused(line: dict[str, object]) -> None:
    """Whoever reads it says so."""
    with pytest.raises(StateError, match="another form"):
        event_of(line)


def test_a_reader_sees_what_comes_after_it_and_no_torn_line(folder: RunFolder) -> None:
    """Each event once; nothing of an earlier start."""
    assert list(ProgressReader(folder.path).new()) == []
    with progress_file(folder, "1"):
        tell("", events(folder.path)[1])
    torn = folder.file(PROGRESS)
    torn.write_bytes(torn.read_bytes() + b'{"event":"roun')
    reader = ProgressReader(folder.path)
    assert list(reader.new()) == []
    with progress_file(folder, "2"):
        (opened,) = reader.new()
        assert isinstance(opened, Opened)
        assert opened.number == "2"
        tell("", events(folder.path)[1])
        assert list(reader.new()) == [events(folder.path)[1]]
        assert list(reader.new()) == []
    assert len(list(ProgressReader(folder.path, whole=True).new())) == 4
    assert stat.S_IMODE(torn.stat().st_mode) & 0o077 == 0


def test_a_folder_that_was_moved_is_the_one_that_is_read(folder: RunFolder) -> None:
    """A run tells where it was; its summary lies where its file lies."""
    with progress_file(folder, "1"):
        for event in events(folder.path / "before"):
            tell("", event)
    told = list(ProgressReader(folder.path, whole=True).new())[1:]
    assert told[-1] == events(folder.path)[-1]
    assert isinstance(told[0], RunStarted)
    assert told[0].folder == folder.path


def test_what_ends_a_run_is_its_last_line_and_still_raised(folder: RunFolder) -> None:
    """Afterwards nobody listens."""
    before = list(LOGGER.handlers)
    with pytest.raises(TooFewSurvivors), progress_file(folder, "1"):
        raise TooFewSurvivors("1 of 3")
    assert list(ProgressReader(folder.path, whole=True).new())[-1] == Ended(
        "TooFewSurvivors", "1 of 3"
    )
    assert LOGGER.handlers == before


@pytest.mark.parametrize("content", [b"no json\n", b"[1]\n"])
def test_a_file_that_holds_something_else_is_told(folder: RunFolder, content: bytes) -> None:
    """No event is made up."""
    folder.file(PROGRESS).write_bytes(content)
    with pytest.raises(StateError):
        list(ProgressReader(folder.path, whole=True).new())
    folder.file(PROGRESS).unlink()
    folder.file(PROGRESS).mkdir()
    with pytest.raises(StateError):
        list(ProgressReader(folder.path, whole=True).new())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PolicyRefused("x"), "BudgetExhausted"),
        (AggregationRefused("reason", "x"), "AggregationRefused"),
        (FederationError("x"), "FederationError"),
    ],
)
def test_an_error_is_told_by_the_nearest_class_that_all_know(
    error: FederationError, kind: str
) -> None:
    """And becomes one of that class again, with its text."""
    assert kind_of(error) == kind
    again = error_of(kind, str(error))
    assert type(again).__name__ == kind
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", ["Sequence", "NoSuchError", "__name__"])
def test_a_name_that_is_no_error_of_ours_becomes_the_root(kind: str) -> None:
    """Whatever a file says."""
    assert type(error_of(kind, "x")) is FederationError
