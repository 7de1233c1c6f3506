"""Epsilon: never below the truth, close to the tightest bound, alarmed where accountants differ."""

import logging
import math

import pytest
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from shared.dp import accounting, curves
from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.errors import ConfigurationError, PrivacyError

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


def gaussians(noise: float, count: int) -> dp.DpEvent:
    """`count` Gaussian releases."""
    return dp.SelfComposedDpEvent(dp.GaussianDpEvent(noise), count)


def sampled(rate: float, noise: float, count: int) -> dp.DpEvent:
    """`count` steps of DP-SGD."""
    return dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise)), count)


def exact_gaussian_epsilon(noise: float, count: int, delta: float) -> float:
    """Independent oracle: Balle & Wang 2018, theorem 8, solved by bisection."""
    scale = noise / math.sqrt(count)

    def excess(epsilon: float) -> float:
        first = stats.norm.cdf(0.5 / scale - epsilon * scale)
        second = math.exp(epsilon + stats.norm.logcdf(-0.5 / scale - epsilon * scale))
        return float(first - second - delta)

    # The loss is normal with mean 1/(2·scale²) and deviation 1/scale: its tail ends before 10.
    return float(optimize.brentq(excess, 0.0, 0.5 / scale**2 + 10.0 / scale, xtol=1e-12))


@pytest.mark.parametrize("noise", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_without_sampling_epsilon_is_exact(noise: float, count: int, delta: float) -> None:
    """Never below the closed form, at most the rounding above it."""
    truth = exact_gaussian_epsilon(noise, count, delta)
    found = epsilon_of(gaussians(noise, count), delta, ADD_REMOVE)
    assert truth - 1e-9 <= found.epsilon <= truth * (1 + 1e-6) + 1.1e-4
    assert found.method == "exact_gaussian"
    assert found.agree


@pytest.mark.parametrize(
    ("event", "delta", "adjacency", "expected"),
    [
        (sampled(0.01, 1.0, 1000), 1e-6, ADD_REMOVE, 2.13),
        (gaussians(1.0, 10), 1e-5, ADD_REMOVE, 17.857),
        (gaussians(1.0, 10), 1e-5, Adjacency.REPLACE_ONE, 46.21),
        (
            dp.SelfComposedDpEvent(dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 148, 1.0), 500),
            1e-4,
            Adjacency.ZERO_OUT,
            14.63,
        ),
        (sampled(0.1, 1.0, 500), 1e-4, Adjacency.ZERO_OUT, 14.63),
    ],
    ids=["DP-SGD", "Gaussian", "replace-one doubles the sensitivity", "truncated", "Poisson"],
)
def test_known_values_are_found(
    event: dp.DpEvent, delta: float, adjacency: Adjacency, expected: float
) -> None:
    """Values computed elsewhere, with other accountants."""
    assert epsilon_of(event, delta, adjacency).epsilon == pytest.approx(expected, abs=0.006)


def test_the_cross_check_is_looser_than_the_exact_number() -> None:
    """By RDP ten Gaussians at z = 1 cost 19.05, in truth 17.86."""
    found = epsilon_of(gaussians(1.0, 10), 1e-5, ADD_REMOVE)
    assert found.rdp == pytest.approx(19.05, abs=0.01)
    assert found.agree


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("rate", "noise", "count"),
    [(0.2, 1.22, 60), (0.01, 1.0, 1000), (0.001, 0.7, 5000), (0.5, 4.0, 100)],
)
def test_a_second_library_brackets_the_claim(rate: float, noise: float, count: int) -> None:
    """Opacus' PRV accountant adds its error to an estimate: we are at most 1 % above it.

    And at least its estimate less twice that error, a lower bound of the truth.
    """
    from opacus.accountants import PRVAccountant

    error = 0.005
    prv = PRVAccountant()
    prv.history = [(noise, rate, count)]
    upper = float(prv.get_epsilon(1e-5, eps_error=error))
    found = epsilon_of(sampled(rate, noise, count), 1e-5, ADD_REMOVE)
    assert upper - 2 * error <= found.epsilon <= upper * 1.01
    assert found.rdp is not None
    assert found.epsilon <= found.rdp + 1e-4


GRID = [(0.5, 1.0, 10, 1e-5), (0.1, 0.8, 50, 1e-6), (0.02, 1.5, 500, 1e-7)]


@pytest.mark.no_cover
@settings(max_examples=8)
@given(st.sampled_from(GRID), st.floats(1.05, 2.0))
def test_epsilon_is_monotone(case: tuple[float, float, int, float], factor: float) -> None:
    """More steps, a larger sample, less noise or a smaller delta never cost less."""
    rate, noise, count, delta = case

    def live(*changed: float) -> float:
        q, z, steps, d = changed
        event = sampled(q, z, int(steps))
        return epsilon_of(event, d, ADD_REMOVE, interval=1e-3).epsilon

    base = live(rate, noise, count, delta)
    assert live(rate, noise, count * factor, delta) >= base
    assert live(min(0.99, rate * factor), noise, count, delta) >= base
    assert live(rate, noise / factor, count, delta) >= base
    assert live(rate, noise, count, delta / factor) >= base


def test_rounds_recorded_one_by_one_cost_what_they_cost_together() -> None:
    """Composition is free of order and grouping."""
    step, other = sampled(0.2, 1.22, 1), gaussians(3.0, 1)
    one_by_one = dp.ComposedDpEvent([step, other] * 5)
    together = dp.ComposedDpEvent([gaussians(3.0, 5), sampled(0.2, 1.22, 5)])
    assert epsilon_of(one_by_one, 1e-5, ADD_REMOVE) == epsilon_of(together, 1e-5, ADD_REMOVE)


def test_epsilon_is_rounded_up_and_never_negative() -> None:
    """Four decimals; RDP's conversion can go below zero, a claim cannot."""
    found = epsilon_of(sampled(0.2, 1.22, 7), 1e-5, ADD_REMOVE)
    assert found.pld <= found.epsilon < found.pld + 1e-4
    assert epsilon_of(sampled(0.01, 50.0, 1), 0.01, ADD_REMOVE).epsilon == 0.0
    assert epsilon_of(dp.NoOpDpEvent(), 1e-5, ADD_REMOVE).epsilon == 0.0


def test_a_release_without_privacy_costs_everything() -> None:
    """Whatever else was done."""
    event = dp.ComposedDpEvent([dp.NonPrivateDpEvent(), gaussians(1.0, 1)])
    found = epsilon_of(event, 1e-5, ADD_REMOVE)
    assert math.isinf(found.epsilon)
    assert math.isinf(found.pld)
    assert math.isinf(epsilon_of(event, 1e-5, Adjacency.REPLACE_ONE).epsilon)


def test_where_pld_fails_rdp_is_reported_and_the_alarm_rings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At tiny deltas the FFT's rounding makes PLD infinite or NaN; RDP still holds."""
    accounting._epsilon.cache_clear()
    monkeypatch.setattr(accounting, "epsilon_at", lambda _distribution, _delta: math.nan)
    found = epsilon_of(sampled(0.2, 1.22, 60), 1e-5, ADD_REMOVE)
    truncated = dp.TruncatedSubsampledGaussianDpEvent(10, 0.5, 6, 1.0)
    nothing_else = epsilon_of(truncated, 1e-5, ADD_REMOVE, interval=1e-2)
    accounting._epsilon.cache_clear()
    assert math.isinf(nothing_else.epsilon)
    assert found.method == "rdp"
    assert 7.95 < found.epsilon < 9.0
    assert not found.agree


@pytest.mark.parametrize(
    ("event", "interval", "most"),
    [
        (sampled(0.001, 5.0, 100_000), 2e-5, 0.2096),
        (sampled(0.0001, 20.0, 100_000), 1e-6, 0.0035),
    ],
    ids=["small", "tiny"],
)
def test_small_epsilons_of_very_many_steps_use_a_finer_grid(
    event: dp.DpEvent, interval: float, most: float
) -> None:
    """The ordinary interval would be 2 % and five times loose."""
    found = epsilon_of(event, 1e-5, ADD_REMOVE)
    assert found.interval == interval
    assert 0 < found.epsilon <= most
    assert found.agree


@pytest.mark.parametrize("count", [100, 100_000])
def test_a_hopeless_plan_is_accounted_in_little_memory(count: int) -> None:
    """Its loss would need 10⁹ points at the ordinary interval; a coarser one costs 0.1 %."""
    found = epsilon_of(sampled(0.5, 0.3, count), 1e-5, ADD_REMOVE)
    assert found.epsilon / found.interval < 4e6
    assert found.epsilon <= found.pld + 1e-4
    assert 2.3 * count < found.epsilon < 3.9 * count


def test_a_loss_that_no_distribution_can_hold_is_bounded_by_its_moments() -> None:
    """A step of its distribution would be wider than an epsilon is; no more is claimed of it."""
    found = epsilon_of(sampled(0.5, 0.3, 10**7), 1e-5, ADD_REMOVE)
    assert (found.method, found.pld) == ("rdp", math.inf)
    assert found.rdp is not None
    assert found.rdp <= found.epsilon <= found.rdp + 2e-4
    assert 2.3 * 10**7 < found.epsilon < 6 * 10**7


@given(st.integers(0, 10**9), st.booleans())
def test_rounding_is_never_down(units: int, above: bool) -> None:
    """Not even by the last bit, at a multiple of the unit or just above it."""
    value = math.nextafter(units / 1e4, math.inf) if above else units / 1e4
    assert value <= accounting.rounded_up(value) <= value + 2e-4


def test_where_pld_has_no_cross_check_of_rdp_the_unsampled_bound_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RDP does not know truncated sampling: where PLD fails there is no infinity."""
    monkeypatch.setattr(accounting, "_pld", lambda *_: math.inf)
    truncated = dp.SelfComposedDpEvent(dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 81, 5.0), 9)
    found = epsilon_of(truncated, 1e-15, Adjacency.ZERO_OUT)
    bare = epsilon_of(gaussians(5.0, 9), 1e-15, Adjacency.ZERO_OUT)
    assert found.rdp is None
    assert (found.method, found.epsilon) == ("exact_gaussian", bare.epsilon)
    assert not found.agree


def test_truncation_costs_more_where_a_unit_can_be_added() -> None:
    """An added client can push out another: zeroing one cannot."""
    truncated = dp.TruncatedSubsampledGaussianDpEvent(10, 1.0, 5, 1.0)
    zeroed = epsilon_of(truncated, 1e-5, Adjacency.ZERO_OUT, interval=1e-2)
    added = epsilon_of(truncated, 1e-5, ADD_REMOVE, interval=1e-2)
    assert zeroed.epsilon == epsilon_of(gaussians(1.0, 1), 1e-5, ADD_REMOVE).epsilon
    assert added.epsilon > zeroed.epsilon
    assert added.method == "pld"


def test_the_last_bits_of_the_cross_check_give_no_privacy(monkeypatch: pytest.MonkeyPatch) -> None:
    """dp-accounting makes an epsilon of 0 of a divergence that rounding made negative."""
    nearly_nothing = [-1e-17] * len(curves.ORDERS)
    monkeypatch.setattr(RdpAccountant, "rdp", nearly_nothing)
    found = epsilon_of(sampled(1e-7, 19.0, 100), 1e-14, ADD_REMOVE)
    curves.renyi_curve.cache_clear()
    accounting._epsilon.cache_clear()
    assert found.rdp is not None
    assert found.rdp > 0.0


def test_an_order_left_out_is_not_shown_to_a_person(caplog: pytest.LogCaptureFixture) -> None:
    """It costs tightness only; what else the library has to say is shown."""
    accounting._epsilon.cache_clear()
    curves.renyi_curve.cache_clear()
    epsilon_of(sampled(0.2, 1.22, 60), 1e-5, ADD_REMOVE)
    assert not caplog.records
    record = logging.LogRecord("absl", logging.WARNING, "", 0, "something else", None, None)
    assert curves._is_news(record)
    assert not logging.getLogger("absl").filters


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_a_delta_outside_its_domain_is_refused(delta: float) -> None:
    """(0, 1)."""
    with pytest.raises(ConfigurationError, match="delta"):
        epsilon_of(gaussians(1.0, 1), delta, ADD_REMOVE)


@pytest.mark.parametrize(
    "event", [dp.LaplaceDpEvent(1.0), dp.PoissonSampledDpEvent(0.1, dp.LaplaceDpEvent(1.0))]
)
def test_an_event_that_is_not_ours_is_refused(event: dp.DpEvent) -> None:
    """Unknown means not accounted, loudly."""
    with pytest.raises(PrivacyError):
        epsilon_of(event, 1e-5, ADD_REMOVE)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("rate", "noise", "count", "delta", "expected"),
    [(0.02, 1.0, 1000, 1e-5, 6.24), (0.01, 1.0, 1000, 1e-5, 2.843)],
)
def test_replacing_a_sampled_record_costs_more_than_adding_it(
    rate: float, noise: float, count: int, delta: float, expected: float
) -> None:
    """Less than twice as much here, and no RDP is shown, since dp-accounting's is not valid."""
    found = epsilon_of(sampled(rate, noise, count), delta, Adjacency.REPLACE_ONE)
    assert found.epsilon == pytest.approx(expected, abs=2e-3)
    assert found.epsilon > epsilon_of(sampled(rate, noise, count), delta, ADD_REMOVE).epsilon
    assert found.rdp is None


def test_replace_one_is_refused_where_it_is_not_known() -> None:
    """Truncated sampling has no replace-one distribution."""
    event = dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 148, 1.0)
    with pytest.raises(PrivacyError, match="replace-one"):
        epsilon_of(event, 1e-5, Adjacency.REPLACE_ONE)


def test_replacing_under_a_release_without_privacy_costs_everything() -> None:
    """Doubling does not touch it."""
    event = dp.ComposedDpEvent([dp.NonPrivateDpEvent(), dp.GaussianDpEvent(1.0)])
    assert epsilon_of(event, 1e-5, Adjacency.REPLACE_ONE).epsilon == math.inf
