"""Epsilon of events: never below the truth, within 1 % of the tightest bound known.

PLD (connect-the-dots, pessimistic) gives the claim, RDP the cross-check; the smaller is reported,
rounded up. PLD above RDP is a numerical alarm. A Gaussian mechanism without sampling is computed
exactly.

Source: Koskela et al. 2020; Doroshenko et al. 2022 (arXiv:2207.04380); Mironov 2017
(arXiv:1702.07476); Balle & Wang 2018 (arXiv:1805.06530) for the exact Gaussian. All by the
library dp-accounting; docs/privacy.md says where we work around it.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import dp_accounting
from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import RdpAccountant

from shared.dp.plan import Adjacency
from shared.errors import ConfigurationError, PrivacyError

REPORT_INTERVAL = 1e-4
LIVE_INTERVAL = 1e-3
_FINE_INTERVAL = 2e-5
_RELATIONS = {
    Adjacency.ADD_OR_REMOVE_ONE: dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    # dp-accounting's name for zero-out
    Adjacency.ZERO_OUT: dp_accounting.NeighboringRelation.REPLACE_SPECIAL,
}
# Integer orders are exact; fractional ones are slow and do not converge at large sampling rates.
ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024, 4096)
_STEPS = (
    dp.GaussianDpEvent,
    dp.NonPrivateDpEvent,
    dp.PoissonSampledDpEvent,
    dp.TruncatedSubsampledGaussianDpEvent,
)
_Counts = tuple[tuple[dp.DpEvent, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epsilon:
    """An upper bound on epsilon at `delta`, and how it was found.

    Attributes:
        epsilon: The claim, rounded up; `math.inf` where nothing is promised.
        delta: The delta it holds at.
        method: exact_gaussian, pld or rdp.
        pld: By privacy loss distributions, not rounded.
        rdp: By Rényi DP; None where that accountant does not know the event.
        agree: False where PLD exceeds RDP, which cannot be but for numerical trouble.
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
        adjacency: Replace-one is computed for Gaussian events alone, at twice the sensitivity.
        interval: Discretisation of the PLD; by default 1e-4, finer for tiny epsilons of very many
            steps.

    Raises:
        ConfigurationError: `delta` is outside (0, 1).
        PrivacyError: an event or adjacency that cannot be accounted.
    """
    if not 0.0 < delta < 1.0:
        raise ConfigurationError(f"delta must be in (0, 1), got {delta!r}")
    counts = _merged(event)
    adjacency = Adjacency(adjacency)
    if adjacency is Adjacency.REPLACE_ONE:
        # dp-accounting 0.6's RDP ignores the doubled sensitivity (its issue 378): so we double it.
        counts, adjacency = _doubled_sensitivity(counts), Adjacency.ADD_OR_REMOVE_ONE
    return _epsilon(counts, delta, adjacency, interval)


@lru_cache(maxsize=1024)
def _epsilon(
    counts: _Counts, delta: float, adjacency: Adjacency, interval: float | None
) -> Epsilon:
    used = interval or REPORT_INTERVAL
    if any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in counts):
        return _result("pld", math.inf, None, delta, used)
    exact = _exact_gaussian(counts, delta)
    if exact is not None:
        return _result("exact_gaussian", exact, _rdp(counts, delta, adjacency), delta, used)
    pld = _pld(counts, delta, adjacency, used)
    if interval is None and pld < 0.5 and sum(count for _, count in counts) >= 100_000:
        used = _FINE_INTERVAL
        pld = _pld(counts, delta, adjacency, used)
    return _result("pld", pld, _rdp(counts, delta, adjacency), delta, used)


def _result(method: str, pld: float, rdp: float | None, delta: float, interval: float) -> Epsilon:
    # Guarantee: each of the two is an upper bound, so the smaller is one.
    best = pld if rdp is None else min(pld, rdp)
    return Epsilon(
        epsilon=_rounded_up(best),
        delta=delta,
        method=method if rdp is None or pld <= rdp else "rdp",
        pld=pld,
        rdp=rdp,
        agree=rdp is None or pld <= rdp + 1e-9,
        interval=interval,
    )


def _rounded_up(value: float) -> float:
    """The next multiple of 10⁻⁴ at or above `value`, at least 0; infinity stays."""
    if math.isinf(value):
        return value
    return max(0.0, math.ceil(value * 1e4) / 1e4)


def _exact_gaussian(counts: _Counts, delta: float) -> float | None:
    """Composed Gaussians are one Gaussian of 1/σ² = Σ count/σᵢ²; None for other events."""
    if not counts or not all(isinstance(part, dp.GaussianDpEvent) for part, _ in counts):
        return None
    precision = sum(count / part.noise_multiplier**2 for part, count in counts)
    return float(dp_accounting.get_epsilon_gaussian(1.0 / math.sqrt(precision), delta))


def _pld(counts: _Counts, delta: float, adjacency: Adjacency, interval: float) -> float:
    composed = privacy_loss_distribution.identity(value_discretization_interval=interval)
    for part, count in counts:
        composed = composed.compose(_single(part, adjacency, interval).self_compose(count))
    epsilon = float(composed.get_epsilon_for_delta(delta))
    return math.inf if math.isnan(epsilon) else epsilon


@lru_cache(maxsize=64)
def _single(
    part: dp.DpEvent, adjacency: Adjacency, interval: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
    """Distribution of one step; kept, since a run asks for the same one after every round."""
    relation = _RELATIONS[adjacency]
    if isinstance(part, dp.TruncatedSubsampledGaussianDpEvent):
        return privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism(
            dataset_size=part.dataset_size,
            sampling_probability=part.sampling_probability,
            truncated_batch_size=part.truncated_batch_size,
            noise_multiplier=part.noise_multiplier,
            value_discretization_interval=interval,
            neighboring_relation=relation,
        )
    sampled = isinstance(part, dp.PoissonSampledDpEvent)
    gaussian = part.event if sampled else part
    if not isinstance(gaussian, dp.GaussianDpEvent):
        raise PrivacyError(f"expected a Gaussian event, got {type(gaussian).__name__}")
    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=gaussian.noise_multiplier,
        value_discretization_interval=interval,
        sampling_prob=part.sampling_probability if sampled else 1.0,
        neighboring_relation=relation,
    )


def _rdp(counts: _Counts, delta: float, adjacency: Adjacency) -> float | None:
    accountant = RdpAccountant(orders=list(ORDERS), neighboring_relation=_RELATIONS[adjacency])
    if not all(accountant.supports(part) for part, _ in counts):
        return None
    for part, count in counts:
        accountant.compose(part, count)
    return float(accountant.get_epsilon(delta))


def _merged(event: dp.DpEvent) -> _Counts:
    """`event` as distinct steps and how often each was done; the order does not matter."""
    counts: Counter[dp.DpEvent] = Counter()
    _count(event, 1, counts)
    return tuple(sorted(counts.items(), key=repr))


def _count(event: dp.DpEvent, times: int, counts: Counter[dp.DpEvent]) -> None:
    if isinstance(event, dp.SelfComposedDpEvent):
        _count(event.event, times * event.count, counts)
    elif isinstance(event, dp.ComposedDpEvent):
        for part in event.events:
            _count(part, times, counts)
    elif isinstance(event, _STEPS):
        counts[event] += times
    elif not isinstance(event, dp.NoOpDpEvent):
        raise PrivacyError(f"expected an event that can be accounted, got {type(event).__name__}")


def _doubled_sensitivity(counts: _Counts) -> _Counts:
    if not all(isinstance(part, dp.GaussianDpEvent) for part, _ in counts):
        raise PrivacyError("replace-one is accounted for Gaussian events without sampling only")
    return tuple((dp.GaussianDpEvent(part.noise_multiplier / 2.0), count) for part, count in counts)
