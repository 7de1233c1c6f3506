"""The statistical assertions themselves: calibrated, and able to fail."""

import numpy as np
import pytest

from tests.significance import NOISE_SAMPLES, has_rate, is_normal, normal_p_value

RNG = np.random.default_rng(20261123)


def test_p_values_are_calibrated() -> None:
    """A correct normal sample is called suspicious at 5 % in about 5 % of cases, or less."""
    alarms = sum(normal_p_value(RNG.normal(size=200), 1.0) < 0.05 for _ in range(400))
    assert 2 <= alarms <= 40


@pytest.mark.parametrize(
    "planted",
    [
        RNG.normal(0, 1.05, NOISE_SAMPLES),
        RNG.normal(0, 0.95, NOISE_SAMPLES),
        RNG.uniform(-np.sqrt(3), np.sqrt(3), NOISE_SAMPLES),
        RNG.normal(0.06, 1, NOISE_SAMPLES),
        np.zeros(NOISE_SAMPLES),
    ],
    ids=["5 % wide", "5 % narrow", "uniform of equal variance", "shifted", "none"],
)
def test_wrong_noise_is_rejected(planted: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> None:
    """Neither a wrong scale nor a wrong shape passes."""
    assert not is_normal(planted, 1.0)


def test_a_wrong_rate_is_rejected_and_a_right_one_is_not() -> None:
    """0.21 is told from 0.2 at 100,000 trials."""
    assert has_rate(20_000, 100_000, 0.2)
    assert not has_rate(21_000, 100_000, 0.2)
