"""A claim in attack terms: exact where the truth is known, a bound elsewhere."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shared.dp.accounting import epsilon_of
from shared.dp.groups import group_epsilon
from shared.dp.mechanisms import Adjacency
from shared.dp.profile import PrivacyProfile
from shared.dp.tuning import tuned_epsilon
from shared.errors import ConfigurationError, PrivacyError
from tests.shared.dp.test_accounting import gaussians, sampled

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


def profile(event: dp.DpEvent, delta: float = 1e-5) -> PrivacyProfile:
    """Of a claim at `delta`."""
    return PrivacyProfile(event, epsilon_of(event, delta, ADD_REMOVE).epsilon, ADD_REMOVE)


@settings(max_examples=25)
@given(st.floats(0.3, 20.0), st.integers(1, 50), st.floats(1e-6, 0.999))
def test_against_a_gaussian_the_best_attack_is_known(
    noise: float, count: int, false_alarms: float
) -> None:
    """Neyman and Pearson: Φ(Φ⁻¹(a) + μ); advantage 2Φ(μ/2) - 1."""
    found = profile(gaussians(noise, count))
    mu = math.sqrt(count) / noise
    best = stats.norm.cdf(stats.norm.ppf(false_alarms) + mu)
    assert found.true_positive_rates(np.array([false_alarms]))[0] == pytest.approx(best)
    assert found.advantage() == pytest.approx(2 * stats.norm.cdf(mu / 2) - 1, abs=1e-9)
    assert found.mu() == pytest.approx(mu)
    assert found.rho() == pytest.approx(mu**2 / 2)


@pytest.mark.parametrize(
    ("event", "delta", "expected"),
    [
        (sampled(0.01, 1.0, 1000), 1e-5, 0.0041),
        (gaussians(5.0, 50), 1e-5, 0.0469),
    ],
)
def test_rates_at_a_thousandth_of_false_alarms(
    event: dp.DpEvent, delta: float, expected: float
) -> None:
    """Known answers; never below guessing, never above e^ε·a + δ."""
    found = profile(event, delta)
    rate = float(found.true_positive_rates(np.array([1e-3]))[0])
    assert rate == pytest.approx(expected, rel=0.1)
    assert 1e-3 <= rate <= math.exp(found.epsilon) * 1e-3 + delta + 1e-12


def test_sampled_steps_are_bounded_from_above_by_a_simulated_attack() -> None:
    """The likelihood-ratio attack on one step of known law finds at most what is claimed."""
    rate, noise, trials = 0.5, 1.0, 200_000
    generator = np.random.default_rng(5)
    without = generator.normal(0.0, noise, trials)
    drawn = generator.random(trials) < rate
    with_it = drawn + generator.normal(0.0, noise, trials)
    found = profile(sampled(rate, noise, 1))
    for false_alarms in (0.01, 0.1, 0.3):
        threshold = np.quantile(without, 1 - false_alarms)
        reached = float((with_it > threshold).mean())
        claimed = float(found.true_positive_rates(np.array([false_alarms]))[0])
        assert reached <= claimed + 0.006
        assert reached >= 0.9 * claimed


@pytest.mark.parametrize("event", [sampled(0.3, 1.63, 20), gaussians(3.0, 4)])
def test_curves_are_probabilities_that_only_fall_or_rise(event: dp.DpEvent) -> None:
    """δ(ε) falls, found members rise with false alarms; at the claim δ is at most the claim's."""
    found = profile(event)
    deltas = [delta for _, delta in found.curve()]
    assert deltas == sorted(deltas, reverse=True)
    assert all(0.0 <= delta <= 1.0 for delta in deltas)
    assert found.delta_at(np.array([found.epsilon]))[0] <= 1e-5 * (1 + 1e-6)
    rates = found.true_positive_rates(np.linspace(1e-4, 1.0, 30))
    assert (np.diff(rates) >= -1e-12).all()
    assert rates[-1] == pytest.approx(1.0)
    assert found.posterior() == pytest.approx(
        math.exp(found.epsilon) / (1 + math.exp(found.epsilon))
    )


def test_what_does_not_exist_is_none() -> None:
    """ρ and μ of sampled steps; Rényi divergences of truncated sampling."""
    found = profile(sampled(0.3, 1.63, 5))
    assert found.rho() is None
    assert found.mu() is None
    assert len(found.renyi()) > 10
    truncated = dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0)
    assert PrivacyProfile(truncated, 1.0, Adjacency.ZERO_OUT).renyi() == []


def test_nothing_released_lets_nothing_be_found() -> None:
    """δ is zero everywhere; and a claim above 20 is plotted on a coarser grid."""
    nothing = PrivacyProfile(dp.NoOpDpEvent(), 0.0, ADD_REMOVE)
    assert nothing.delta_at(np.zeros(2)).tolist() == [0.0, 0.0]
    assert nothing.advantage() == 0.0
    weak = PrivacyProfile(sampled(0.5, 0.4, 5), 25.0, ADD_REMOVE)
    assert weak.advantage() > 0.8


@pytest.mark.parametrize(("records", "expected"), [(1, 1.829), (2, 3.98), (5, 11.64)])
def test_several_records_of_one_person_cost_more_than_their_number(
    records: int, expected: float
) -> None:
    """Known answers (q = 0.01, z = 1, 1000 steps)."""
    found = group_epsilon(sampled(0.01, 1.0, 1000), records, 1e-5)
    assert found == pytest.approx(expected, abs=0.01)


def test_several_records_of_an_unsampled_gaussian_scale_its_noise() -> None:
    """Exactly; also beside sampled steps."""
    one = epsilon_of(dp.GaussianDpEvent(1.0), 1e-5, ADD_REMOVE).epsilon
    assert group_epsilon(dp.GaussianDpEvent(4.0), 4, 1e-5) == one
    both = dp.ComposedDpEvent([dp.GaussianDpEvent(4.0), sampled(0.1, 2.0, 5)])
    assert group_epsilon(both, 2, 1e-5) > group_epsilon(both, 1, 1e-5)


def test_a_group_of_nobody_or_an_unknown_step_is_refused() -> None:
    """Fails closed."""
    with pytest.raises(PrivacyError, match="at least one"):
        group_epsilon(dp.GaussianDpEvent(1.0), 0, 1e-5)
    with pytest.raises(PrivacyError, match="Gaussian steps"):
        group_epsilon(dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0), 2, 1e-5)


@pytest.mark.parametrize(("runs", "expected"), [(10, 2.154), (100, 2.716)])
def test_the_best_of_several_runs_costs_what_the_paper_says(runs: float, expected: float) -> None:
    """Known answers for a base of epsilon 1.01; far less than composing all."""
    base = dp.GaussianDpEvent(4.0)
    assert tuned_epsilon(base, runs, 1e-5) == pytest.approx(expected, abs=0.002)
    composed = epsilon_of(dp.SelfComposedDpEvent(base, int(runs)), 1e-5, ADD_REMOVE).epsilon
    assert tuned_epsilon(base, runs, 1e-5) < composed


def test_tuning_that_is_no_tuning_is_refused() -> None:
    """One run, or steps without Rényi bounds."""
    with pytest.raises(ConfigurationError, match="more than one"):
        tuned_epsilon(dp.GaussianDpEvent(1.0), 1.0, 1e-5)
    with pytest.raises(ConfigurationError, match="Rényi"):
        tuned_epsilon(dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0), 10.0, 1e-5)
