"""Epsilons of privacy loss distributions against the library's own search."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld.pld_pmf import DensePLDPmf
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dp.quantile import epsilon_at


@settings(max_examples=60, deadline=None)
@given(
    noise=st.floats(0.3, 20.0),
    rate=st.sampled_from([1e-4, 0.01, 0.3, 1.0]),
    count=st.integers(1, 300),
    delta=st.sampled_from([1e-9, 1e-5, 1e-2, 0.4, 0.999]),
    interval=st.sampled_from([1e-2, 1e-3]),
)
def test_it_is_what_the_library_finds(
    noise: float, rate: float, count: int, delta: float, interval: float
) -> None:
    """Of sampled and plain Gaussians, composed, also where epsilon is 0."""
    one = pld.from_gaussian_mechanism(
        noise, value_discretization_interval=interval, sampling_prob=rate
    )
    composed = one.self_compose(count)
    expected = composed.get_epsilon_for_delta(delta)
    assert epsilon_at(composed, delta) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_mass_at_infinity_above_delta_has_no_epsilon() -> None:
    """And below it costs its part of delta."""
    leaky = pld.from_privacy_parameters(
        pld.common.DifferentialPrivacyParameters(1.0, 1e-3), value_discretization_interval=1e-2
    )
    assert epsilon_at(leaky, 1e-4) == math.inf
    for delta in (1e-3, 2e-3, 0.5):
        assert epsilon_at(leaky, delta) == pytest.approx(leaky.get_epsilon_for_delta(delta))


def test_losses_so_large_that_their_inverse_vanishes() -> None:
    """The library takes the loss itself there; so do we."""
    huge = pld.from_gaussian_mechanism(0.02, value_discretization_interval=1.0)
    for delta in (1e-9, 0.3):
        assert epsilon_at(huge, delta) == pytest.approx(huge.get_epsilon_for_delta(delta))


def test_nothing_lost_costs_nothing() -> None:
    """Of the identity, and of distributions whose losses are all at or below zero."""
    nothing = pld.identity(value_discretization_interval=1e-2)
    assert epsilon_at(nothing, 1e-5) == 0.0
    sure = pld.from_gaussian_mechanism(1e6, value_discretization_interval=1e-2)
    assert epsilon_at(sure, 0.5) == 0.0


def of_masses(*masses: float) -> pld.PrivacyLossDistribution:
    """Of losses 0.01, 0.02, ..."""
    return pld.PrivacyLossDistribution(DensePLDPmf(1e-2, 1, np.array(masses), 0.0, True))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_sums_that_are_no_probabilities_bound_nothing(wrong: float) -> None:
    """What a composition has spoilt is no epsilon of zero."""
    assert not math.isfinite(epsilon_at(of_masses(0.1, 0.1, wrong), 1e-5))
