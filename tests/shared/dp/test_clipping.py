"""Clipping: nothing passes the bound, nothing crashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.dp.clipping import add_clipped, clip, clip_single
from shared.errors import ConfigurationError
from tests.strategies import clipping_norms, updates

SLACK = 1 + 2.0**-50


@given(updates, clipping_norms)
def test_every_update_leaves_within_the_bound(update: NDArray[np.float64], norm: float) -> None:
    """‖clip(x)‖₂ ≤ C for every x at all, NaN and infinity included."""
    clipped = clip(update, norm)
    assert clipped.shape == update.shape
    assert np.isfinite(clipped).all()
    assert float(np.linalg.norm(clipped)) <= norm * SLACK


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), clipping_norms)
def test_the_direction_is_kept_and_a_short_update_unchanged(
    numbers: list[float], norm: float
) -> None:
    """clip(x) = x·min(1, C/‖x‖)."""
    update = np.array(numbers)
    length = float(np.linalg.norm(update))
    expected = update * min(1.0, norm / length) if length else update
    assert np.allclose(clip(update, norm), expected, rtol=1e-12, atol=1e-12 * norm)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_counts_as_zero(poison: float) -> None:
    """One bad number voids the whole update: any part of it could be what was hidden."""
    assert clip(np.array([1.0, poison, 2.0]), 1.0).tolist() == [0.0, 0.0, 0.0]


def test_numbers_whose_squares_overflow_are_clipped_like_others() -> None:
    """1e300 squared is infinite; the clipped vector is not."""
    assert np.allclose(clip(np.array([1e300, -1e300]), 2.0), [np.sqrt(2), -np.sqrt(2)])


@pytest.mark.parametrize("norm", [0.0, -1.0, np.nan, np.inf])
def test_a_bound_that_is_no_bound_is_refused(norm: float) -> None:
    """C must be positive and finite."""
    with pytest.raises(ConfigurationError, match="clipping_norm"):
        clip(np.ones(2), norm)


@pytest.mark.parametrize("size", [1e-180, 1e-120, 1e-90, 1.0, 1e90, 1e160])
@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_fast_and_the_careful_way_agree(size: float, ratio: float) -> None:
    """Whether squares underflow, fit or overflow, the result is x·min(1, C/‖x‖)."""
    update = np.array([3.0, -4.0, 0.0]) * size
    expected = update * min(1.0, ratio)
    assert np.allclose(clip(update, 5.0 * size * ratio), expected, rtol=1e-14, atol=0)


def test_a_copy_is_returned() -> None:
    """The caller's update is not changed."""
    update = np.array([3.0, 4.0])
    clip(update, 1.0)
    assert update.tolist() == [3.0, 4.0]


@given(updates, clipping_norms)
def test_what_is_added_is_what_clip_gives(update: NDArray[np.float64], norm: float) -> None:
    """Bit for bit, for every update at all, in single precision too."""
    with np.errstate(over="ignore"):
        single = update.astype(np.float32)
    for numbers in (update, single):
        expected, total = np.linspace(-1, 1, len(update)), np.linspace(-1, 1, len(update))
        expected += clip(numbers, norm)
        add_clipped(total, [numbers], norm)
        assert total.tobytes() == expected.tobytes()


@given(updates, clipping_norms)
def test_clipping_to_single_precision_is_clipping(update: NDArray[np.float64], norm: float) -> None:
    """Bit for bit, whatever the numbers are; and the update stays as it was."""
    with np.errstate(over="ignore"):
        single = update.astype(np.float32)
        before = single.tobytes()
        assert clip_single(single, norm).tobytes() == clip(single, norm).astype("f4").tobytes()
    assert single.tobytes() == before


@pytest.mark.parametrize("norm", [1.0, 1e3])
def test_long_updates_are_clipped_in_blocks(norm: float) -> None:
    """Of several blocks and a rest; where the clip binds and where it does not."""
    update = np.random.default_rng(5).standard_normal(3 * 2**16 + 7).astype(np.float32)
    clipped = clip_single(update, norm)
    assert clipped.tobytes() == clip(update, norm).astype(np.float32).tobytes()
    assert not np.shares_memory(clipped, update)


@pytest.mark.parametrize("norm", [1.0, 1e3])
def test_long_updates_are_added_in_blocks(norm: float) -> None:
    """Of several blocks and a rest; where the clip binds and where it does not."""
    update = np.random.default_rng(5).standard_normal(3 * 2**16 + 7).astype(np.float32)
    total = np.ones(len(update))
    add_clipped(total, [update], norm)
    assert total.tobytes() == (1.0 + clip(update, norm)).tobytes()
    length = float(np.linalg.norm(total - 1.0))
    assert length == pytest.approx(min(norm, float(np.linalg.norm(update))), rel=1e-6)


@pytest.mark.parametrize("norm", [None, 1.0, 1e3])
def test_updates_that_are_added_together_are_those_added_in_turn(norm: float | None) -> None:
    """Bit for bit, with one that is not finite; whoever is told is told of every block once."""
    numbers = np.random.default_rng(6).standard_normal((3, 2**16 + 7)).astype(np.float32)
    numbers[1, 3] = 0.0 if norm is None else np.nan
    in_turn, told = np.ones(numbers.shape[1]), list[int]()
    for update in numbers:
        in_turn += update if norm is None else clip(update, norm)
    together = np.ones(numbers.shape[1])
    add_clipped(together, list(numbers), norm, told.append)
    assert together.tobytes() == in_turn.tobytes()
    assert told == [2**16, 2**16 + 7]


def test_nothing_is_added_for_a_bound_that_is_none() -> None:
    """It raises before."""
    total = np.zeros(2)
    with pytest.raises(ConfigurationError, match="clipping_norm"):
        add_clipped(total, [np.ones(2)], 0.0)
    assert total.tolist() == [0.0, 0.0]
