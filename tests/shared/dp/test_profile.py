"""A claim in attack terms: exact where the truth is known, a bound elsewhere, never no number."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.profile import PrivacyProfile
from tests.shared.dp.test_accounting import gaussians, sampled

ADD_REMOVE, REPLACE, ZERO_OUT = (
    Adjacency.ADD_OR_REMOVE_ONE, Adjacency.REPLACE_ONE, Adjacency.ZERO_OUT,
)  # fmt: skip
DELTA = 1e-5
TRUNCATED = dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0)
RATES = np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9])


def profile(
    event: dp.DpEvent, delta: float = DELTA, adjacency: Adjacency = ADD_REMOVE
) -> PrivacyProfile:
    """Of a claim at `delta`."""
    found = epsilon_of(event, delta, adjacency)
    return PrivacyProfile(event, found.epsilon, adjacency, found.interval)


# One Poisson-sampled Gaussian step: the privacy loss at x is ln(1 - q + q·e^((2x - 1)/2z²)).


def loss_place(rate: float, noise: float, loss: float) -> float:
    """The x at which the loss of one sampled step is `loss` > ln(1 - q)."""
    return 0.5 + noise**2 * math.log((math.exp(loss) - 1.0 + rate) / rate)


def exact_delta(rate: float, noise: float, epsilon: float) -> float:
    """δ(ε) of one sampled step, the worse of both directions, by the formula of the normal law."""
    with_it = loss_place(rate, noise, epsilon)
    drawn, free = stats.norm(1.0, noise), stats.norm(0.0, noise)
    removed = (1 - rate) * free.sf(with_it) + rate * drawn.sf(with_it)
    removed -= math.exp(epsilon) * free.sf(with_it)
    if math.exp(-epsilon) <= 1.0 - rate:
        return float(removed)
    without = loss_place(rate, noise, -epsilon)
    mixed = (1 - rate) * free.cdf(without) + rate * drawn.cdf(without)
    return float(max(removed, free.cdf(without) - math.exp(epsilon) * mixed))


def exact_rates(rate: float, noise: float, false_alarms: NDArray[np.float64]) -> list[float]:
    """What the likelihood-ratio attack on one sampled step finds, in its better direction."""
    drawn, free = stats.norm(1.0, noise), stats.norm(0.0, noise)
    found = []
    for alarms in false_alarms:
        high = free.isf(alarms)
        one = (1 - rate) * free.sf(high) + rate * drawn.sf(high)
        low = optimize.brentq(
            lambda x, a=alarms: (1 - rate) * free.cdf(x) + rate * drawn.cdf(x) - a, -90.0, 90.0
        )
        found.append(float(max(one, free.cdf(low))))
    return found


@pytest.mark.no_cover
@settings(max_examples=25)
@given(st.floats(0.3, 20.0), st.integers(1, 50), st.floats(1e-6, 0.999), st.floats(0.0, 5.0))
def test_against_gaussians_all_is_exact(
    noise: float, count: int, false_alarms: float, epsilon: float
) -> None:
    """Neyman and Pearson: Φ(Φ⁻¹(a) + μ); advantage 2Φ(μ/2) - 1; Balle and Wang's δ(ε)."""
    found = profile(gaussians(noise, count))
    mu = math.sqrt(count) / noise
    best = stats.norm.cdf(stats.norm.ppf(false_alarms) + mu)
    assert found.true_positive_rates(np.array([false_alarms]))[0] == pytest.approx(best)
    assert found.advantage() == pytest.approx(2 * stats.norm.cdf(mu / 2) - 1, abs=1e-9)
    assert found.mu == pytest.approx(mu)
    assert found.rho == pytest.approx(mu**2 / 2)
    exact = stats.norm.cdf(mu / 2 - epsilon / mu)
    exact -= math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
    assert found.delta_at(np.array([epsilon]))[0] == pytest.approx(max(exact, 0.0), abs=1e-12)


@pytest.mark.no_cover
@settings(max_examples=25)
@given(st.floats(0.01, 0.95), st.floats(0.6, 4.0), st.floats(0.0, 3.0))
def test_of_one_sampled_step_every_bound_is_above_the_truth_and_near_it(
    rate: float, noise: float, epsilon: float
) -> None:
    """δ(ε), error rates: in whichever direction the attacker does better."""
    found = profile(sampled(rate, noise, 1))
    truth, bound = exact_delta(rate, noise, epsilon), found.delta_at(np.array([epsilon]))[0]
    assert truth <= bound <= truth * 1.001 + 2e-6
    reached, claimed = exact_rates(rate, noise, RATES), found.true_positive_rates(RATES)
    assert (np.array(reached) <= claimed + 1e-12).all()
    assert (claimed <= np.array(reached) * 1.02 + 2e-4).all()


@pytest.mark.no_cover
@settings(max_examples=5)  # five seconds each
@given(st.floats(0.01, 0.95), st.floats(0.6, 4.0), st.floats(1e-9, 1e-2))
def test_certainty_is_exceeded_with_probability_delta_at_most(
    rate: float, noise: float, delta: float
) -> None:
    """In the world with the unit, of one sampled step, by the exact law of the loss."""
    certain = profile(sampled(rate, noise, 1), delta).posterior(delta)
    loss = math.log(certain / (1.0 - certain)) if certain < 1.0 else math.inf
    place = loss_place(rate, noise, loss) if loss < 500.0 else math.inf
    drawn, free = stats.norm(1.0, noise), stats.norm(0.0, noise)
    assert (1 - rate) * free.sf(place) + rate * drawn.sf(place) <= delta * (1 + 1e-6)


@pytest.mark.parametrize(("noise", "count"), [(5.0, 50), (1.0, 1), (20.0, 3)])
def test_epsilon_and_delta_alone_would_promise_too_little_certainty(
    noise: float, count: int
) -> None:
    """P[L > ε] is several δ; the quantile of L is what is exceeded with probability δ."""
    found = profile(gaussians(noise, count))
    mu = math.sqrt(count) / noise
    loss = stats.norm(mu**2 / 2, mu)
    assert loss.sf(found.epsilon) > 2 * DELTA
    certain = found.posterior(DELTA)
    assert loss.sf(math.log(certain / (1 - certain))) == pytest.approx(DELTA, rel=1e-6)
    assert certain > 1.0 / (1.0 + math.exp(-found.epsilon))


@pytest.mark.parametrize(
    ("event", "delta", "expected", "advantage"),
    [
        (sampled(0.01, 1.0, 1000), 1e-5, 0.0041, 0.161),
        (gaussians(5.0, 50), 1e-5, 0.0469, 0.5205),
        (sampled(0.3, 1.63, 60), 1e-5, 0.0618, 0.5338),
    ],
)
def test_rates_at_a_thousandth_of_false_alarms(
    event: dp.DpEvent, delta: float, expected: float, advantage: float
) -> None:
    """Known answers; never below guessing, never above e^ε·a + δ."""
    found = profile(event, delta)
    rate = float(found.true_positive_rates(np.array([1e-3]))[0])
    assert rate == pytest.approx(expected, rel=0.01)
    assert found.advantage() == pytest.approx(advantage, abs=1e-3)
    assert 1e-3 <= rate <= math.exp(found.epsilon) * 1e-3 + delta + 1e-12


EVENTS = st.one_of(
    st.builds(gaussians, st.floats(0.2, 30.0), st.integers(1, 300)),
    st.builds(sampled, st.floats(1e-3, 1.0), st.floats(0.5, 20.0), st.integers(1, 300)),
)


@pytest.mark.no_cover
@settings(max_examples=20)
@given(EVENTS, EVENTS, st.sampled_from([ADD_REMOVE, ZERO_OUT]))
def test_every_number_is_one_and_every_curve_goes_one_way(
    one: dp.DpEvent, other: dp.DpEvent, adjacency: Adjacency
) -> None:
    """δ(ε) falls, found members rise with false alarms and are no fewer than by guessing."""
    found = profile(dp.ComposedDpEvent([one, other]), DELTA, adjacency)
    deltas = found.delta_at(np.linspace(0.0, 3.0 * found.epsilon + 1.0, 50))
    assert (np.diff(deltas) <= 0.0).all()
    assert (deltas >= 0.0).all()
    assert deltas[0] == found.advantage() <= 1.0
    assert found.delta_at(np.array([found.epsilon]))[0] <= DELTA * (1 + 1e-6) + 1e-12
    rates = found.true_positive_rates(RATES)
    assert (np.diff(rates) >= 0.0).all()
    assert (rates >= RATES).all()
    assert (rates <= 1.0).all()
    assert (rates - RATES <= found.advantage() + 1e-12).all()
    assert 0.5 <= found.posterior(DELTA) <= 1.0
    divergences = [divergence for _, divergence in found.renyi()]
    assert divergences == sorted(divergences)


def test_places_may_come_in_any_order() -> None:
    """Each gets its own δ."""
    found = profile(sampled(0.3, 1.63, 5))
    places = np.array([2.0, 0.0, 1.0])
    assert found.delta_at(places).tolist() == [
        float(found.delta_at(np.array([place]))[0]) for place in places
    ]


def test_a_composed_tail_is_never_taken_for_nothing() -> None:
    """Where an FFT leaves no digit, Rényi divergences still bound δ; they are the library's."""
    found = profile(sampled(0.1, 1.0, 200))
    deltas = found.delta_at(np.array([3.0, 4.0, 5.0]) * found.epsilon)
    assert (deltas > 0.0).all()
    assert (deltas < 1e-12).all()


def test_replace_one_costs_a_doubled_sensitivity() -> None:
    """In every number; no Rényi divergence of the library is valid for sampled steps under it."""
    found, double = profile(gaussians(4.0, 3), adjacency=REPLACE), profile(gaussians(2.0, 3))
    assert found.mu == double.mu
    assert found.renyi() == double.renyi() != []
    assert found.true_positive_rates(RATES).tolist() == double.true_positive_rates(RATES).tolist()
    steps = profile(sampled(0.3, 1.63, 5), adjacency=REPLACE)
    assert steps.renyi() == []
    places = np.array([0.0, 1.0])
    assert (steps.delta_at(places) > profile(sampled(0.3, 1.63, 5)).delta_at(places)).all()


def test_what_does_not_exist_is_none() -> None:
    """ρ and μ of sampled steps; Rényi divergences of truncated sampling."""
    found = profile(sampled(0.3, 1.63, 5))
    assert (found.rho, found.mu) == (None, None)
    assert len(found.renyi()) > 10
    for adjacency in (ZERO_OUT, ADD_REMOVE):
        cut = profile(TRUNCATED, adjacency=adjacency)
        assert cut.renyi() == []
        assert 0.0 < cut.advantage() < 1.0


def test_nothing_released_lets_nothing_be_found() -> None:
    """δ is zero everywhere, and an attacker knows what he knew."""
    nothing = PrivacyProfile(dp.NoOpDpEvent(), 0.0, ADD_REMOVE)
    assert nothing.delta_at(np.zeros(2)).tolist() == [0.0, 0.0]
    assert nothing.true_positive_rates(RATES).tolist() == pytest.approx(RATES.tolist())
    assert nothing.posterior(DELTA) == 0.5


@pytest.mark.parametrize("adjacency", Adjacency)
def test_a_release_without_privacy_bounds_nothing(adjacency: Adjacency) -> None:
    """Every attack may succeed."""
    event = dp.ComposedDpEvent([dp.NonPrivateDpEvent(), sampled(0.1, 2.0, 3)])
    open_to_all = PrivacyProfile(event, math.inf, adjacency)
    assert open_to_all.advantage() == open_to_all.posterior(DELTA) == 1.0
    assert open_to_all.true_positive_rates(RATES).tolist() == [1.0] * len(RATES)
    assert (open_to_all.mu, open_to_all.rho, open_to_all.renyi()) == (None, None, [])


def test_a_claim_that_is_none_is_still_a_number() -> None:
    """Above every grid; nothing overflows."""
    weak = profile(sampled(0.5, 0.06, 50))
    assert weak.epsilon > 700.0
    assert weak.advantage() == pytest.approx(1.0)
    assert weak.posterior(DELTA) == 1.0
    assert (weak.true_positive_rates(RATES) <= 1.0).all()
