"""Integer noise: bounded by Rényi divergences of whole orders, and by nothing of the continuous."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.dp import accounting
from shared.dp.accounting import claim_of, epsilon_of
from shared.dp.curves import ORDERS, renyi_curve
from shared.dp.events import event_from_json, event_to_json
from shared.dp.groups import group_epsilon
from shared.dp.integer_event import IntegerNoiseDpEvent, continuous, is_integer
from shared.dp.mechanisms import Adjacency
from shared.dp.profile import PrivacyProfile
from shared.dp.renyi import RENYI_ORDERS, renyi_cost
from shared.dp.steps import merged, without_sampling
from shared.errors import ConfigurationError, PrivacyError
from tests.shared.dp.test_accounting import gaussians, sampled

ADD_REMOVE, ZERO_OUT = Adjacency.ADD_OR_REMOVE_ONE, Adjacency.ZERO_OUT
DELTA = 1e-5
WHOLE = [order for order in ORDERS if order == int(order)]
rates, noises = st.floats(0.01, 1.0), st.floats(0.4, 8.0)


def integers(noise: float, count: int = 1, rate: float = 1.0) -> dp.DpEvent:
    """`count` releases with integer noise, each of a Poisson sample."""
    event: dp.DpEvent = IntegerNoiseDpEvent(noise)
    if rate < 1.0:
        event = dp.PoissonSampledDpEvent(rate, event)
    return dp.SelfComposedDpEvent(event, count)


def curve(event: dp.DpEvent, adjacency: Adjacency) -> dict[float, float]:
    """Divergence of one step by order."""
    [(step, _)] = merged(event)
    found = renyi_curve(step, adjacency)
    assert found is not None
    return dict(zip(ORDERS, found, strict=True))


def discrete_gaussian(noise: float, shift: int) -> NDArray[np.float64]:
    """Its probabilities around 0, moved by `shift`; summed exactly enough in one dimension."""
    reach = 60 + int(60 * noise)
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-((places - shift) ** 2) / (2.0 * noise**2))
    normal = np.exp(-(places**2) / (2.0 * noise**2)).sum()
    return np.asarray(weights / normal, dtype=np.float64)


@pytest.mark.no_cover
@settings(max_examples=20)
@given(rates, noises, st.sampled_from([ADD_REMOVE, ZERO_OUT]))
def test_at_whole_orders_it_is_the_gaussian_s_and_between_them_no_less(
    rate: float, noise: float, adjacency: Adjacency
) -> None:
    """Sampled or not; at an order between, that of the next whole one."""
    found = curve(integers(noise, rate=rate), adjacency)
    gaussian = curve(sampled(rate, noise, 1), adjacency)
    for order in ORDERS:
        assert found[order] == gaussian[math.ceil(order)]
    values = [found[order] for order in ORDERS]
    assert all(b >= a * (1 - 1e-9) - 1e-12 for a, b in pairwise(values))


@pytest.mark.no_cover
@settings(max_examples=40)
@given(st.floats(0.01, 1.0), st.floats(0.3, 4.0), st.sampled_from([2, 3, 4, 5, 8, 10]))
def test_the_true_divergence_is_below_the_bound_in_both_directions(
    rate: float, noise: float, order: int
) -> None:
    """Of a sampled discrete Gaussian, summed out: adding a unit, and removing it."""
    without = discrete_gaussian(noise, 0)
    mixed = (1.0 - rate) * without + rate * discrete_gaussian(noise, 1)
    seen = (without > 1e-290) & (mixed > 1e-290)
    first, second = np.log(mixed[seen]), np.log(without[seen])
    bound = curve(integers(noise, rate=rate), ADD_REMOVE)[order]
    for above, below in ((first, second), (second, first)):
        moment = float(np.exp(order * above - (order - 1) * below).sum())
        assert math.log(moment) / (order - 1) <= bound * (1 + 1e-9) + 1e-12


def test_a_gaussian_s_delta_is_no_bound_of_integer_noise() -> None:
    """Else the PLD could be used: little noise on whole numbers hides less than continuous."""
    noise, epsilons = 0.5, np.linspace(0.0, 4.0, 41)
    here, there = discrete_gaussian(noise, 0), discrete_gaussian(noise, 1)
    truth = np.array([np.maximum(here - math.exp(e) * there, 0.0).sum() for e in epsilons])
    gaussian = PrivacyProfile(dp.GaussianDpEvent(noise), 1.0, ADD_REMOVE).delta_at(epsilons)
    ours = PrivacyProfile(IntegerNoiseDpEvent(noise), 1.0, ADD_REMOVE).delta_at(epsilons)
    assert (truth > gaussian + 1e-3).any()
    assert (truth <= ours + 1e-12).all()


@pytest.mark.no_cover
@settings(max_examples=10)
@given(rates, st.floats(0.6, 8.0), st.integers(1, 60))
def test_epsilon_is_never_below_that_of_continuous_noise(
    rate: float, noise: float, count: int
) -> None:
    """By RDP alone; the PLD beside it is the continuous one's, and says so by agreeing."""
    found = epsilon_of(integers(noise, count, rate), DELTA, ADD_REMOVE, interval=1e-3)
    reference = epsilon_of(sampled(rate, noise, count), DELTA, ADD_REMOVE, interval=1e-3)
    assert found.method == "rdp"
    assert found.rdp is not None
    assert found.rdp <= found.epsilon < found.rdp + 2e-4
    assert found.epsilon >= reference.epsilon - 1e-4
    assert found.pld == reference.pld
    assert found.agree


def test_shared_noise_costs_what_rdp_says_of_it() -> None:
    """Known answers, worked out by hand: min over whole orders of ρα + ln(1-1/α) - ln(αδ)/(α-1)."""
    rho = 10 / (2 * 4.0**2)
    by_hand = min(
        rho * order + math.log1p(-1 / order) - math.log(order * DELTA) / (order - 1)
        for order in WHOLE
    )
    assert epsilon_of(integers(4.0, 10), DELTA, ZERO_OUT).rdp == pytest.approx(by_hand, abs=1e-9)
    assert epsilon_of(integers(4.0, 10), DELTA, ZERO_OUT).epsilon > by_hand


def test_replace_one_is_refused() -> None:
    """Sampled or not, alone or beside a Gaussian: no bound under it is known."""
    for event in (integers(2.0), integers(2.0, 3, 0.1)):
        for whole in (event, dp.ComposedDpEvent([gaussians(1.0, 1), event])):
            with pytest.raises(PrivacyError, match="replace-one"):
                epsilon_of(whole, DELTA, Adjacency.REPLACE_ONE)
    assert renyi_curve(IntegerNoiseDpEvent(2.0), Adjacency.REPLACE_ONE) is None
    assert PrivacyProfile(integers(2.0), 1.0, Adjacency.REPLACE_ONE).renyi() == []
    with pytest.raises(PrivacyError, match="replace-one"):
        renyi_cost(integers(2.0), Adjacency.REPLACE_ONE, unit="record")


@pytest.mark.parametrize("event", [IntegerNoiseDpEvent(1.5), integers(1.5, 7, 0.25)], ids=str)
def test_the_event_survives_json(event: dp.DpEvent) -> None:
    """And is never read back as a Gaussian."""
    text = json.dumps(event_to_json(event))
    assert "integer_noise" in text
    assert event_from_json(json.loads(text)) == event
    assert event_from_json(json.loads(text.replace("integer_noise", "gaussian"))) != event


def test_beside_gaussians_all_is_bounded_by_rdp() -> None:
    """One step of integer noise takes the distribution from all others too."""
    mixed = dp.ComposedDpEvent([sampled(0.2, 1.5, 20), integers(3.0, 2), gaussians(5.0, 1)])
    plain = dp.ComposedDpEvent([sampled(0.2, 1.5, 20), gaussians(3.0, 2), gaussians(5.0, 1)])
    found, reference = (epsilon_of(event, DELTA, ADD_REMOVE) for event in (mixed, plain))
    assert found.method == "rdp"
    assert found.epsilon > reference.epsilon
    assert found.pld == reference.pld


NOTHING_KEPT = dp.ComposedDpEvent([dp.NonPrivateDpEvent(), integers(2.0)])


@pytest.mark.parametrize("adjacency", [ADD_REMOVE, ZERO_OUT])
@pytest.mark.parametrize(
    "event",
    [
        integers(4.0, 10),
        integers(2.0, 3, 0.1),
        dp.ComposedDpEvent([sampled(0.2, 1.5, 2), integers(3.0, 2), gaussians(5.0, 1)]),
        integers(0.0),
        NOTHING_KEPT,
        sampled(0.2, 1.5, 2),
        dp.NoOpDpEvent(),
    ],
    ids=str,
)
def test_a_claim_alone_is_the_claim(event: dp.DpEvent, adjacency: Adjacency) -> None:
    """Whatever would have stood beside it."""
    found = claim_of(event, DELTA, adjacency, interval=1e-3)
    assert found == epsilon_of(event, DELTA, adjacency, interval=1e-3).epsilon


def test_a_claim_alone_makes_no_distribution_and_is_refused_as_the_whole_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of integer noise; a wrong delta, a relation without a bound."""
    monkeypatch.setattr(accounting, "distribution", lambda *_: 1 / 0)
    assert claim_of(integers(4.5, 3, 0.2), DELTA, ZERO_OUT) > 0.0
    with pytest.raises(ZeroDivisionError):
        epsilon_of(integers(4.5, 3, 0.2), DELTA, ZERO_OUT)
    with pytest.raises(ConfigurationError, match="delta"):
        claim_of(integers(2.0), 1.0, ZERO_OUT)
    with pytest.raises(PrivacyError, match="replace-one"):
        claim_of(integers(2.0), DELTA, Adjacency.REPLACE_ONE)


def test_what_has_no_renyi_bound_is_not_accounted_beside_it() -> None:
    """Truncated sampling: the library knows no divergence of it. No privacy stays none."""
    truncated = dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0)
    with pytest.raises(PrivacyError, match="Rényi bounds"):
        epsilon_of(dp.ComposedDpEvent([truncated, integers(2.0)]), DELTA, ZERO_OUT)
    assert epsilon_of(NOTHING_KEPT, DELTA, ZERO_OUT).epsilon == math.inf
    assert epsilon_of(integers(0.0), DELTA, ZERO_OUT).epsilon == math.inf
    assert PrivacyProfile(NOTHING_KEPT, math.inf, ZERO_OUT).advantage() == 1.0


@pytest.mark.no_cover
@settings(max_examples=10)
@given(rates, st.floats(0.6, 8.0), st.integers(1, 40), st.sampled_from([ADD_REMOVE, ZERO_OUT]))
def test_an_attacker_reaches_no_less_than_against_continuous_noise(
    rate: float, noise: float, count: int, adjacency: Adjacency
) -> None:
    """δ(ε), error rates and certainty; μ and ρ, which are of Gaussians, there are none."""
    found, reference = (
        PrivacyProfile(event, epsilon_of(event, DELTA, adjacency).epsilon, adjacency)
        for event in (integers(noise, count, rate), sampled(rate, noise, count))
    )
    places = np.linspace(0.0, 2.0 * reference.epsilon + 1.0, 30)
    assert (found.delta_at(places) >= reference.delta_at(places) - 2e-12).all()
    alarms = np.array([1e-4, 1e-3, 0.1])
    ours, theirs = (p.true_positive_rates(alarms) for p in (found, reference))
    assert (ours >= theirs * (1 - 1e-3) - 1e-9).all()
    assert found.posterior(DELTA) >= reference.posterior(DELTA) - 1e-6
    assert (found.mu, found.rho) == (None, None)
    assert found.delta_at(np.array([found.epsilon]))[0] <= DELTA * (1 + 1e-6)


def test_without_sampling_the_integer_noise_stays() -> None:
    """Whoever knows the draw meets the same noise, not a continuous one."""
    event = integers(1.5, 4, 0.25)
    assert without_sampling(merged(event)) == ((IntegerNoiseDpEvent(1.5), 4),)
    [(step, _)] = merged(event)
    assert is_integer(step)
    assert not is_integer(continuous(step))
    assert continuous(dp.NonPrivateDpEvent()) == dp.NonPrivateDpEvent()


@pytest.mark.no_cover
@settings(max_examples=10)
@given(st.floats(0.01, 0.9), st.floats(1.0, 8.0), st.integers(1, 20), st.integers(1, 5))
def test_several_records_cost_no_less_than_under_continuous_noise(
    rate: float, noise: float, count: int, records: int
) -> None:
    """And no more than if all of them were always drawn; one record is one record."""
    event = integers(noise, count, rate)
    found = group_epsilon(event, records, DELTA)
    assert found >= group_epsilon(sampled(rate, noise, count), records, DELTA) * 0.98 - 2e-3
    assert found <= epsilon_of(integers(noise / records, count), DELTA, ADD_REMOVE).epsilon + 2e-4
    if records == 1:
        assert found == pytest.approx(epsilon_of(event, DELTA, ADD_REMOVE).epsilon, abs=2e-4)


def test_a_group_under_what_is_not_known_is_refused() -> None:
    """Beside integer noise too."""
    truncated = dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0)
    with pytest.raises(PrivacyError, match="Gaussian or integer"):
        group_epsilon(dp.ComposedDpEvent([integers(2.0), truncated]), 2, DELTA)


def test_a_ledger_spends_at_least_the_gaussian_s() -> None:
    """At each order that it keeps; the owner of a client's data knows that it was asked."""
    ours = renyi_cost(integers(2.0, 5, 0.3), ADD_REMOVE, unit="record")
    theirs = renyi_cost(sampled(0.3, 2.0, 5), ADD_REMOVE, unit="record")
    for order, cost, other in zip(RENYI_ORDERS, ours, theirs, strict=True):
        # At orders between, the library's own series may not converge: then it has no bound.
        assert cost == other if order == int(order) else cost >= min(other, ours[0])
    asked = renyi_cost(integers(2.0, 5, 0.3), ZERO_OUT, unit="client")
    assert asked == renyi_cost(integers(2.0, 5), ZERO_OUT, unit="client")
