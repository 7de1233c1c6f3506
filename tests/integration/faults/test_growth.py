"""The soak's judgement: what grows is found, what wavers is not."""

import numpy as np
import pytest

from tests.integration.faults.growth import FIGURES, Samples, judged
from tests.significance import ALPHA

HOURS_S, BOUNDS = 7200.0, (ALPHA, 0.1)


def samples_of(per_hour: float, seed: int) -> Samples:
    """Of one process: about 200, with noise that lasts for a while, and a trend."""
    chance = np.random.default_rng(seed)
    times = np.arange(0.0, HOURS_S, 2.0)
    noise = np.convolve(chance.normal(0.0, 3.0, len(times) + 20), np.ones(20) / 20, "valid")
    values = 200.0 + per_hour * times / 3600.0 + noise[: len(times)]
    entries = [
        (float(at), dict.fromkeys(FIGURES, float(value)))
        for at, value in zip(times, values, strict=True)
    ]
    return {"process": entries}


def growing(samples: Samples) -> list[str]:
    """Figures that are said to grow."""
    return [e["figure"] for e in judged(samples, HOURS_S / 4, HOURS_S, BOUNDS) if e["grows"]]


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(5))
def test_what_wavers_does_not_grow(seed: int) -> None:
    """However it wavers; and what becomes less does not, either."""
    assert growing(samples_of(0.0, seed)) == []
    assert growing(samples_of(-5.0, seed)) == []


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(5))
def test_what_grows_is_found(seed: int) -> None:
    """Five units an hour of two hundred: in a day more than half as much again."""
    assert growing(samples_of(5.0, seed)) == list(FIGURES)


def test_who_was_not_there_all_the_time_is_not_judged() -> None:
    """A process that ended in between, or came late."""
    whole = samples_of(5.0, 1)["process"]
    assert judged({"a": whole[: len(whole) // 2]}, HOURS_S / 4, HOURS_S, BOUNDS) == []
    assert judged({"a": whole[len(whole) // 2 :]}, HOURS_S / 4, HOURS_S, BOUNDS) == []
