"""Numbers of an example's own: uniform, and a function of nothing else."""

import numpy as np
import pytest
from scipy.stats import norm

from shared.own_draws import own_draws
from tests.significance import is_normal

CONTENT = np.arange(5000, dtype=np.int64).reshape(1000, 5)


def as_normal(draws: np.ndarray) -> np.ndarray:
    """The normal numbers that uniform ones stand for."""
    found: np.ndarray = norm.ppf(np.clip(draws, 1e-16, 1 - 1e-16)).ravel()
    return found


def test_they_are_uniform_over_examples_and_over_numbers() -> None:
    """Neighbouring contents included; a constant shift by a tenth is seen."""
    draws = own_draws(CONTENT, 20)
    assert draws.shape == (1000, 20)
    assert is_normal(as_normal(draws), 1.0)
    assert is_normal(as_normal(draws[:, 0]), 1.0)
    assert not is_normal(as_normal((draws + 0.1) % 1.0 * 0.9), 1.0)


def test_an_example_s_numbers_depend_on_its_content_alone() -> None:
    """Not on others, on the order, or on how its memory lies."""
    draws = own_draws(CONTENT, 3)
    order = np.arange(1000)[::-1]
    assert np.array_equal(own_draws(CONTENT[order], 3), draws[order])
    assert np.array_equal(own_draws(CONTENT[4:5], 3), draws[4:5])
    assert np.array_equal(own_draws(np.asfortranarray(CONTENT), 3), draws)


@pytest.mark.parametrize("purpose", [1, 2])
def test_another_purpose_draws_other_numbers(purpose: int) -> None:
    """Not one is the same, and the two have nothing to do with each other."""
    one, other = own_draws(CONTENT, 20), own_draws(CONTENT, 20, purpose=purpose)
    assert not np.any(one == other)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
