"""Several records of one person: above one record's epsilon, below the unsampled group's."""

import math

import pytest
from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dp.accounting import epsilon_of
from shared.dp.groups import group_epsilon
from shared.dp.mechanisms import Adjacency
from shared.errors import ConfigurationError, PrivacyError
from tests.shared.dp.test_accounting import gaussians, sampled

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(
    ("records", "expected", "interval"),
    [(1, 1.829, 1e-3), (2, 3.98, 1e-3), (5, 11.64, 2e-3), (10, 27.9, 5e-3)],
)
def test_several_records_of_one_person_cost_more_than_their_number(
    records: int, expected: float, interval: float
) -> None:
    """Known answers (q = 0.01, z = 1, 1000 steps, δ = 1e-5); the report's are at most 1 % above."""
    event = sampled(0.01, 1.0, 1000)
    fine = group_epsilon(event, records, 1e-5, interval=interval)
    assert fine == pytest.approx(expected, rel=2e-3)
    assert fine <= group_epsilon(event, records, 1e-5) <= 1.01 * fine


@pytest.mark.no_cover
@settings(max_examples=10)
@given(st.floats(0.05, 0.9), st.floats(1.0, 8.0), st.integers(1, 20), st.integers(2, 4))
def test_a_group_is_between_its_parts_and_the_group_that_is_always_drawn(
    rate: float, noise: float, steps: int, records: int
) -> None:
    """More records cost more; knowing who was drawn costs more still."""
    event = sampled(rate, noise, steps)
    found = group_epsilon(event, records, 1e-5)
    one = epsilon_of(event, 1e-5, ADD_REMOVE).epsilon
    drawn = epsilon_of(gaussians(noise / records, steps), 1e-5, ADD_REMOVE).epsilon
    assert one <= found <= drawn
    assert group_epsilon(event, 1, 1e-5) == pytest.approx(one, rel=0.02, abs=2e-3)


def test_a_group_that_is_always_drawn_scales_the_noise() -> None:
    """Exactly; also beside sampled steps."""
    one = epsilon_of(dp.GaussianDpEvent(1.0), 1e-5, ADD_REMOVE).epsilon
    assert group_epsilon(dp.GaussianDpEvent(4.0), 4, 1e-5) == one
    both = dp.ComposedDpEvent([dp.GaussianDpEvent(4.0), sampled(0.1, 2.0, 5)])
    assert one < group_epsilon(both, 4, 1e-5) > group_epsilon(both, 1, 1e-5)


def test_nothing_released_costs_a_group_nothing() -> None:
    """However large."""
    assert group_epsilon(dp.NoOpDpEvent(), 1000, 1e-5) == 0.0


def test_a_tiny_delta_is_not_left_to_the_fft() -> None:
    """The other composition is used, and is above the one at a larger delta."""
    event = sampled(0.1, 2.0, 5)
    assert group_epsilon(event, 2, 1e-14) > group_epsilon(event, 2, 1e-9)
    assert math.isfinite(group_epsilon(event, 2, 1e-14))


def test_a_hopeless_group_is_bounded_without_a_distribution() -> None:
    """The group that is always drawn bounds it; no memory is asked for."""
    event = sampled(0.5, 0.02, 1000)
    drawn = epsilon_of(gaussians(0.002, 1000), 1e-5, ADD_REMOVE).epsilon
    assert group_epsilon(event, 10, 1e-5) == drawn > 1e6


def test_a_rough_bound_is_no_reason_for_a_coarse_distribution() -> None:
    """Of much noise that is rarely drawn."""
    event = sampled(0.001, 0.6, 1000)
    rough = epsilon_of(gaussians(0.2, 1000), 1e-5, ADD_REMOVE).epsilon
    assert rough > 10_000.0
    fine = group_epsilon(event, 3, 1e-5, interval=2.5e-3)
    assert fine == pytest.approx(group_epsilon(event, 3, 1e-5, interval=5e-3), rel=0.01)


def test_a_group_of_nobody_an_unknown_step_or_a_wrong_delta_is_refused() -> None:
    """Fails closed."""
    with pytest.raises(PrivacyError, match="at least one"):
        group_epsilon(dp.GaussianDpEvent(1.0), 0, 1e-5)
    for step in (dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0), dp.NonPrivateDpEvent()):
        with pytest.raises(PrivacyError, match="Gaussian steps"):
            group_epsilon(step, 2, 1e-5)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ConfigurationError, match="delta"):
            group_epsilon(dp.GaussianDpEvent(1.0), 2, delta)
