"""The engine that the clock chooses: the fastest, and the same sum as over messages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config import Scalar
from shared.dp.clipping import Vector
from shared.messages import TrainInstruction
from simulations import cohort_engine
from simulations.measured import TRIED, fastest
from simulations.threads import Threads
from tests.client.test_session import instruction
from tests.simulations.test_cohort_engine import CLIENT, RECORD, parameters, played


class Hands:
    """A clock that whoever works moves."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Working:
    """A method that takes its time; the first time more of it."""

    def __init__(self, clock: Hands, *seconds: float) -> None:
        self.clock, self.left, self.trained = clock, list(seconds), list[object]()

    def add(
        self, total: Vector, instruction: TrainInstruction, clients: Iterator[Any]
    ) -> Mapping[str, str]:
        """Adds what nobody may see."""
        del instruction
        self.trained.append(list(clients))
        self.clock.now += self.left.pop(0)
        total += 1.0
        return {}


def test_the_least_time_counts_and_building_does_not() -> None:
    """One that is slow to begin wins; one that was disturbed once does too."""
    clock = Hands()
    ways: dict[str, Any] = {
        "slow": Working(clock, 0.0, 2.0, 2.0),
        "built": Working(clock, 90.0, 30.0, 1.0),
    }
    trial: Any = lambda: iter("ab")  # noqa: E731 - any clients will do
    name, seconds = fastest(ways, trial, instruction(), clock)
    assert (name, seconds) == ("built", {"slow": 2.0, "built": 1.0})
    assert all(way.trained == [["a", "b"]] * 3 for way in ways.values())


@pytest.mark.parametrize("raw", [CLIENT, RECORD], ids=["client", "record"])
@pytest.mark.parametrize("other", [0, 1])
def test_whatever_wins_the_model_is_that_of_messages(
    raw: dict[str, Scalar], other: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding; the trial leaves nothing behind; the log tells who won."""
    tried = list[int]()

    def chosen(ways: Mapping[str, Any], trial: Any, asked: TrainInstruction) -> Any:
        _, seconds = fastest(ways, trial, asked)
        tried.append(len(list(trial())))
        return list(ways)[other], seconds

    monkeypatch.setattr(cohort_engine, "fastest", chosen)
    one, measured = (played(tmp_path, engine, raw) for engine in ("messages", "measured"))
    mine, theirs = parameters(one), parameters(measured)
    assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(mine).max()
    assert np.array_equal(mine, theirs) == (other == 0)
    assert len(tried) == 1 <= tried[0] <= TRIED
    told = (measured / "log.txt").read_text()
    assert f"clients are trained by {('threads', 'stacked')[other]}; {tried[0]} clients" in told


@pytest.mark.parametrize("only", [{"runtime.device": "cpu,cpu"}, {"cohort.sample_rate": 1e-3}])
def test_nothing_is_timed_where_there_is_nothing_to_choose(
    only: dict[str, Scalar], tmp_path: Path
) -> None:
    """Several devices are busy with one client; a cohort without clients shows nothing."""
    log = played(tmp_path, "measured", CLIENT | {"rounds": 1} | only) / "log.txt"
    assert "clients are trained by" not in log.read_text()


def test_a_way_that_adds_nothing_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: threads that forget the cohort give another model."""
    one = parameters(played(tmp_path, "messages", CLIENT))
    monkeypatch.setattr(Threads, "add", lambda *_: {})
    monkeypatch.setattr(
        cohort_engine, "fastest", lambda *_: ("threads", {"threads": 0.0, "stacked": 0.0})
    )
    assert not np.allclose(one, parameters(played(tmp_path, "measured", CLIENT)), atol=1e-3)
