"""Epsilon at a tiny delta: exact where the truth is known, a bound elsewhere."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.common import DifferentialPrivacyParameters
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.rdp import RdpAccountant
from scipy import stats

from shared.dp import tail
from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.tail import small_delta_epsilon
from shared.errors import PrivacyError
from tests.shared.dp.test_accounting import exact_gaussian_epsilon, sampled

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


def step(
    rate: float, noise: float, interval: float = 1e-4, *, upper: bool = True
) -> PrivacyLossDistribution:
    """One step of DP-SGD."""
    return privacy_loss_distribution.from_gaussian_mechanism(
        noise,
        sampling_prob=rate,
        value_discretization_interval=interval,
        pessimistic_estimate=upper,
        use_connect_dots=upper,
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("delta", [1e-5, 1e-9, 1e-14])
@pytest.mark.parametrize(("noise", "count"), [(1.0, 1), (1.0, 10), (20.0, 10_000)])
def test_the_exact_gaussian_is_found_and_never_undercut(
    noise: float, count: int, delta: float
) -> None:
    """At 10⁻¹⁴ the library's own composition gives 54.7 for 50.15."""
    truth = exact_gaussian_epsilon(noise, count, delta)
    found = small_delta_epsilon([(step(1.0, noise), count)], delta)
    assert truth <= found <= truth + 1e-4


@pytest.mark.no_cover
@pytest.mark.parametrize(("rate", "noise", "count"), [(0.3, 3.0, 100), (0.01, 1.0, 1000)])
def test_at_an_ordinary_delta_it_is_the_librarys_number(
    rate: float, noise: float, count: int
) -> None:
    """Two ways to compose one distribution."""
    single = step(rate, noise)
    expected = single.self_compose(count).get_epsilon_for_delta(1e-7)
    assert small_delta_epsilon([(single, count)], 1e-7) == pytest.approx(expected, rel=1e-5)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("rate", "noise", "count"), [(0.3, 3.0, 100), (0.01, 0.6, 100), (1e-4, 0.6, 100)]
)
def test_the_claim_lies_between_optimistic_and_pessimistic(
    rate: float, noise: float, count: int
) -> None:
    """Within 1 % here; Rényi DP is an upper bound of another kind."""
    delta = 1e-14
    lower = small_delta_epsilon([(step(rate, noise, upper=False), count)], delta)
    event = sampled(rate, noise, count)
    claim = epsilon_of(event, delta, ADD_REMOVE)
    rdp = RdpAccountant().compose(event).get_epsilon(delta)
    assert lower <= claim.epsilon <= min(1.01 * lower, rdp + 1e-4)
    assert claim.agree


@pytest.mark.no_cover
def test_different_steps_compose_in_any_order_and_grouping() -> None:
    """Gaussians of different noise are one Gaussian, whose epsilon is known."""
    parts = [(step(1.0, 1.0), 2), (step(1.0, 3.0), 9)]
    precision = 2 / 1.0 + 9 / 9.0
    truth = exact_gaussian_epsilon(1.0 / math.sqrt(precision), 1, 1e-13)
    found = small_delta_epsilon(parts, 1e-13)
    assert truth <= found <= truth + 1e-4
    assert small_delta_epsilon(parts[::-1], 1e-13) == pytest.approx(found, rel=1e-9)
    split = [(step(1.0, 3.0), 4), (step(1.0, 1.0), 2), (step(1.0, 3.0), 5)]
    assert small_delta_epsilon(split, 1e-13) == pytest.approx(found, rel=1e-9)


@pytest.mark.no_cover
def test_one_sampled_step_is_the_closed_form() -> None:
    """Delta of q·N(1, z²) + (1-q)·N(0, z²) against N(0, z²), at the epsilon that was found."""
    rate, noise, delta = 0.01, 0.7, 1e-13
    epsilon = small_delta_epsilon([(step(rate, noise), 1)], delta)
    place = noise**2 * math.log((math.expm1(epsilon) + rate) / rate) + 0.5
    mixed = (1 - rate) * stats.norm.sf(place / noise) + rate * stats.norm.sf((place - 1) / noise)
    reached = mixed - math.exp(epsilon) * stats.norm.sf(place / noise)
    assert reached <= delta
    assert reached == pytest.approx(delta, rel=1e-2)


def test_what_is_infinite_costs_everything() -> None:
    """A mass at infinity above delta has no epsilon."""
    leaky = privacy_loss_distribution.from_privacy_parameters(
        DifferentialPrivacyParameters(1.0, 1e-6)
    )
    assert small_delta_epsilon([(leaky, 1)], 1e-9) == math.inf


def test_nothing_costs_nothing() -> None:
    """At a delta that enough noise reaches at epsilon 0."""
    assert small_delta_epsilon([(step(1.0, 1e4), 1)], 1e-3) == 0.0


def test_distributions_of_different_intervals_are_refused() -> None:
    """Their places could not be added."""
    with pytest.raises(PrivacyError, match="one interval"):
        small_delta_epsilon([(step(1.0, 1.0), 1), (step(1.0, 1.0, 1e-3), 1)], 1e-12)


def test_a_composition_too_long_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of taking all of it."""
    monkeypatch.setattr(tail, "_LARGEST", 1024)
    with pytest.raises(PrivacyError, match="at most 1024 places"):
        small_delta_epsilon([(step(1.0, 1.0), 10)], 1e-12)


def test_the_accountant_takes_it_where_delta_is_tiny() -> None:
    """Never below the exact number; the library's own would be 9 % above it."""
    event = sampled(0.999999, 20.0, 10_000)
    truth = exact_gaussian_epsilon(20.0, 10_000, 1e-14)
    claim = epsilon_of(event, 1e-14, ADD_REMOVE)
    # The unsampled bound may be the smaller one.
    assert 0.999 * truth <= claim.epsilon <= truth + 2e-4


def test_a_tail_that_lies_elsewhere_is_never_taken_for_none() -> None:
    """No mass near the centre: infinity. All mass too light to matter: its lowest place."""
    mass = np.array([1.0])
    assert tail._solved(np.array([5000.0]), mass, 1.0, 0.0) == math.inf
    assert tail._solved(np.array([0.5, 1.0]), np.array([1e-3, 1e-3]), 1.0, 0.5) == 0.5
