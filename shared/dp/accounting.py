"""Epsilon of events: never below the truth, within 1 % of the tightest bound known.

PLD (connect-the-dots, pessimistic) gives the claim, RDP the cross-check, the same releases without
sampling a third bound; the smallest is reported, rounded up. PLD above another is a numerical
alarm. A Gaussian mechanism without sampling is computed exactly. Integer noise is bounded by RDP
at whole orders alone; beside it stands the PLD of continuous noise of the same multiplier, which
bounds nothing: RDP below it would be the alarm.

Source: Koskela et al. 2020; Doroshenko et al. 2022 (arXiv:2207.04380); Mironov 2017
(arXiv:1702.07476); Balle & Wang 2018 (arXiv:1805.06530) for the exact Gaussian. All by the
library dp-accounting; docs/privacy.md says where we work around it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import dp_accounting
import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import compute_epsilon

from shared.dp.composition import self_composed
from shared.dp.curves import ORDERS, renyi_curve
from shared.dp.integer_event import continuous, is_integer
from shared.dp.kept_steps import step_distribution
from shared.dp.mechanisms import Adjacency
from shared.dp.quantile import epsilon_at
from shared.dp.steps import Counts, merged, without_sampling
from shared.dp.tail import small_delta_epsilon
from shared.errors import ConfigurationError, PrivacyError

REPORT_INTERVAL = 1e-4
LIVE_INTERVAL = 1e-3
_FINER_INTERVALS = (2e-5, 5e-6, 1e-6)
_ALARM = 1e-4  # PLD above another bound by more than the rounding of the claim
# A PLD is fine enough where epsilon is this many intervals: few steps add few roundings.
_EVENLY, _EVENLY_EACH = 5000.0, 200.0
_SETTLED = 1e-3  # what a grid four or five times as fine takes off, or less: it is fine enough
_COARSEST = 1.0
_SMALL_DELTA = 1e-10  # below, the library's FFT composes too roughly, and can fall below the truth
_POINTS = 2_000_000  # and too fine above this many: its memory grows with epsilon / interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Epsilon:
    """An upper bound on epsilon at `delta`, and how it was found.

    Attributes:
        epsilon: The claim, rounded up; `math.inf` where nothing is promised.
        delta: The delta it holds at.
        method: exact_gaussian, pld or rdp.
        pld: By privacy loss distributions (exact without sampling), not rounded.
        rdp: By Rényi DP; None where that accountant does not know the event.
        agree: False where PLD exceeds another bound, which cannot be but for numerical trouble.
        interval: Discretisation of the PLD.
    """

    epsilon: float
    delta: float
    method: str
    pld: float
    rdp: float | None
    agree: bool
    interval: float


def epsilon_of(
    event: dp.DpEvent, delta: float, adjacency: Adjacency | str, *, interval: float | None = None
) -> Epsilon:
    """The smallest epsilon we can prove for `event` at `delta`, rounded up to four decimals.

    Args:
        event: What one unit was exposed to; any composition of the events of `shared.dp.events`.
        delta: In (0, 1).
        adjacency: Replace-one is add-or-remove-one at twice the sensitivity for Gaussian events,
            and a distribution of its own for Poisson sampled ones; not known for truncated ones.
        interval: Discretisation of the PLD; by default 1e-4, and finer for small epsilons. Either
            is made coarser, by powers of ten, where epsilon is in the hundreds.

    Raises:
        ConfigurationError: `delta` is outside (0, 1).
        PrivacyError: an event or adjacency that cannot be accounted.
    """
    if not 0.0 < delta < 1.0:
        raise ConfigurationError(f"delta must be in (0, 1), got {delta!r}")
    counts = merged(event)
    adjacency = Adjacency(adjacency)
    if adjacency is Adjacency.REPLACE_ONE and _has_integers(counts):
        raise PrivacyError("replace-one is not known for integer noise")
    if adjacency is Adjacency.REPLACE_ONE and without_sampling(counts) == counts:
        # dp-accounting 0.6's RDP ignores the doubled sensitivity (its issue 378): so we double it.
        counts, adjacency = doubled_sensitivity(counts), Adjacency.ADD_OR_REMOVE_ONE
    if adjacency is Adjacency.REPLACE_ONE and _is_truncated(counts):
        raise PrivacyError("replace-one is not known for truncated Poisson sampling")
    return _epsilon(counts, delta, adjacency, interval)


def claim_of(
    event: dp.DpEvent, delta: float, adjacency: Adjacency | str, *, interval: float | None = None
) -> float:
    """`epsilon_of(...).epsilon`; of integer noise without the distribution beside it."""
    counts, adjacency = merged(event), Adjacency(adjacency)
    open_to_all = any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in counts)
    known = 0.0 < delta < 1.0 and adjacency is not Adjacency.REPLACE_ONE and not open_to_all
    if known and _has_integers(counts):
        return rounded_up(_integer_rdp(counts, delta, adjacency))
    return epsilon_of(event, delta, adjacency, interval=interval).epsilon


@lru_cache(maxsize=4096)
def _epsilon(counts: Counts, delta: float, adjacency: Adjacency, interval: float | None) -> Epsilon:
    found = {"interval": interval or REPORT_INTERVAL, "delta": delta}
    if not counts:
        return Epsilon(epsilon=0.0, method="pld", pld=0.0, rdp=None, agree=True, **found)
    if any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in counts):
        return Epsilon(epsilon=math.inf, method="pld", pld=math.inf, rdp=None, agree=True, **found)
    if _has_integers(counts):
        return _by_renyi(counts, delta, adjacency, interval)
    replaced = adjacency is Adjacency.REPLACE_ONE
    # No RDP of dp-accounting 0.6 is valid for replace-one.
    rdp = None if replaced else _rdp(counts, delta, adjacency)
    bounds = {} if rdp is None else {"rdp": rdp}
    bare = without_sampling(counts)
    if not (_is_truncated(counts) and adjacency is Adjacency.ADD_OR_REMOVE_ONE):
        # Guarantee: zeroing a unit, and adding it to a Poisson sample, changes each possible
        # sample by C at most. Adding it to a truncated sample can push out another, so 2·C.
        bounds["exact_gaussian"] = _exact_gaussian(
            doubled_sensitivity(bare) if replaced else bare, delta
        )
    if bare == counts:
        return _smallest(bounds["exact_gaussian"], bounds, rdp, found)
    coarse = coarsened(found["interval"], min(bounds.values(), default=0.0))
    pld, found["interval"] = _refined(counts, delta, adjacency, coarse, finer=interval is None)
    return _smallest(pld, {"pld": pld} | bounds, rdp, found)


def _refined(
    counts: Counts, delta: float, adjacency: Adjacency, interval: float, *, finer: bool
) -> tuple[float, float]:
    """The PLD's epsilon, and the grid that is fine enough for it."""
    pld = _pld(counts, delta, adjacency, interval)
    enough = min(_EVENLY, _EVENLY_EACH * math.sqrt(sum(count for _, count in counts)))
    for following in _FINER_INTERVALS if finer else ():
        if pld < enough * interval:
            interval, before = following, pld
            pld = _pld(counts, delta, adjacency, interval)
            if before - pld <= _SETTLED * pld:
                # Cost: a finer one still would take gigabytes where many are composed.
                break
    return pld, interval


def _by_renyi(
    counts: Counts, delta: float, adjacency: Adjacency, interval: float | None
) -> Epsilon:
    """RDP of whole orders, with the PLD of the continuous counterpart beside it."""
    rdp = _integer_rdp(counts, delta, adjacency)
    reference = _epsilon(_merged_continuous(counts), delta, adjacency, interval)
    return Epsilon(
        epsilon=rounded_up(rdp),
        delta=delta,
        method="rdp",
        pld=reference.pld,
        rdp=rdp,
        agree=reference.pld <= rdp + _ALARM,
        interval=reference.interval,
    )


@lru_cache(maxsize=4096)
def _integer_rdp(counts: Counts, delta: float, adjacency: Adjacency) -> float:
    rdp = _rdp(counts, delta, adjacency)
    if rdp is None:
        raise PrivacyError("expected steps with Rényi bounds beside integer noise, got others")
    return rdp


def _merged_continuous(counts: Counts) -> Counts:
    return merged(
        dp.ComposedDpEvent([dp.SelfComposedDpEvent(continuous(part), n) for part, n in counts])
    )


def _has_integers(counts: Counts) -> bool:
    return any(is_integer(part) for part, _ in counts)


def _smallest(
    pld: float, bounds: dict[str, float], rdp: float | None, found: dict[str, float]
) -> Epsilon:
    # Guarantee: each is an upper bound, so the smallest is one.
    method = min(bounds, key=lambda name: bounds[name])
    return Epsilon(
        epsilon=rounded_up(bounds[method]),
        method=method,
        pld=pld,
        rdp=rdp,
        agree=pld <= bounds[method] + _ALARM,
        **found,
    )


def rounded_up(value: float) -> float:
    """A multiple of 10⁻⁴ at or above `value`, by less than 2·10⁻⁴, at least 0; infinity stays."""
    if math.isinf(value):
        return value
    units = max(0, math.ceil(value * 1e4))
    # Guarantee: the product above may be rounded down, and the quotient below it.
    return units / 1e4 if units / 1e4 >= value else (units + 1) / 1e4


def coarsened(interval: float, bound: float) -> float:
    """`interval` times the power of ten that keeps a PLD up to `bound` in memory."""
    excess = bound / (_POINTS * interval)
    return interval if excess <= 1.0 else interval * 10 ** math.ceil(math.log10(excess))


def _is_truncated(counts: Counts) -> bool:
    return any(isinstance(part, dp.TruncatedSubsampledGaussianDpEvent) for part, _ in counts)


def _exact_gaussian(counts: Counts, delta: float) -> float:
    """Composed Gaussians are one Gaussian of 1/σ² = Σ count/σᵢ²."""
    precision = sum(count / part.noise_multiplier**2 for part, count in counts)
    return float(dp_accounting.get_epsilon_gaussian(1.0 / math.sqrt(precision), delta))


def _pld(counts: Counts, delta: float, adjacency: Adjacency, interval: float) -> float:
    if interval > _COARSEST:
        return math.inf  # a distribution so coarse bounds nothing; another bound is reported
    if delta < _SMALL_DELTA:
        steps = [(step_distribution(part, adjacency, interval), count) for part, count in counts]
        return small_delta_epsilon(steps, delta)
    epsilon = epsilon_at(distribution(counts, adjacency, interval), delta)
    return math.inf if math.isnan(epsilon) else epsilon


@lru_cache(maxsize=4)
def distribution(
    counts: Counts, adjacency: Adjacency, interval: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
    """The privacy loss of all `counts` together, never better than the truth; kept, not to change.

    Composed by FFT: masses, and δ(ε), are wrong by up to about 10⁻¹³ in either direction.
    """
    steps = [
        _repeated(step_distribution(part, adjacency, interval), count) for part, count in counts
    ]
    nothing = privacy_loss_distribution.identity(value_discretization_interval=interval)
    # Composing with nothing costs as much as with anything else, after every round.
    return reduce(lambda composed, step: composed.compose(step), steps or [nothing])


def _repeated(
    step: privacy_loss_distribution.PrivacyLossDistribution, count: int
) -> privacy_loss_distribution.PrivacyLossDistribution:
    # Composing once with nothing costs as much as composing many times.
    return step if count == 1 else self_composed(step, count)


def _rdp(counts: Counts, delta: float, adjacency: Adjacency) -> float | None:
    total = np.zeros(len(ORDERS))
    for part, count in counts:
        curve = renyi_curve(part, adjacency)
        if curve is None:
            return None
        total += count * np.array(curve)
    return float(compute_epsilon(ORDERS, total, delta)[0])


def doubled_sensitivity(counts: Counts) -> Counts:
    """Gaussian steps of twice the sensitivity: replace-one in terms of add-or-remove-one."""
    return tuple(
        (part, count)
        if isinstance(part, dp.NonPrivateDpEvent)
        else (dp.GaussianDpEvent(part.noise_multiplier / 2.0), count)
        for part, count in counts
    )
