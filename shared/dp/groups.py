"""What holds for k records of one person, where the unit is one record.

A step samples each of the k on its own, so the sum moves by as many clips as were drawn: a mixture
of Gaussians. That is far better than k times epsilon, and far worse than one record's. Without
sampling the noise is k times smaller in clips, exactly. Integer noise has Rényi bounds alone: all
k count as drawn as soon as one of them is.

Source: Ganesh 2024 (arXiv:2401.10294), mixture of Gaussians, as TF-Privacy accounts user level.
"""

import math
from functools import lru_cache

from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from scipy import stats

from shared.dp.accounting import claim_of, coarsened, epsilon_of, rounded_up
from shared.dp.integer_event import IntegerNoiseDpEvent, is_integer
from shared.dp.mechanisms import Adjacency
from shared.dp.single_step import mixed_gaussian
from shared.dp.steps import Counts, merged
from shared.dp.tail import small_delta_epsilon
from shared.errors import ConfigurationError, PrivacyError

_INTERVAL_EACH = 2.5e-3  # times k: epsilon grows like k, and the time like k / interval
_COARSEST = 1.0
_LARGEST = 1e5  # intervals in an epsilon
_SMALL_DELTA = 1e-10  # below, the library's FFT composes too roughly


def group_epsilon(
    event: dp.DpEvent, records: int, delta: float, *, interval: float | None = None
) -> float:
    """An epsilon at `delta` for `records` records together, add-or-remove, rounded up.

    Args:
        event: What one record was exposed to: Gaussian or integer noise, Poisson sampled or not.
        records: k ≥ 1.
        delta: In (0, 1).
        interval: Discretisation of the distributions; by default k · 0.0025, which is within 1 %
            of the finest.

    Raises:
        ConfigurationError: `delta` is outside (0, 1).
        PrivacyError: another kind of step, or no record.
    """
    if records < 1:
        raise PrivacyError(f"expected at least one record, got {records}")
    if not 0.0 < delta < 1.0:
        raise ConfigurationError(f"delta must be in (0, 1), got {delta!r}")
    counts = merged(event)
    if any(is_integer(part) for part, _ in counts):
        return _by_renyi(counts, records, delta)
    # k records together move the sum by k clips at most.
    bare = [dp.SelfComposedDpEvent(_scaled(part, records), count) for part, count in counts]
    unsampled = epsilon_of(dp.ComposedDpEvent(bare), delta, Adjacency.ADD_OR_REMOVE_ONE).epsilon
    if all(isinstance(part, dp.GaussianDpEvent) for part, _ in counts):
        return unsampled
    wanted = interval or _INTERVAL_EACH * records
    place, found = coarsened(wanted, unsampled), math.inf
    while place <= _COARSEST:  # a coarser distribution bounds nothing
        found = min(found, _composed(counts, records, delta, place))
        if place <= wanted or found > _LARGEST * place:
            break
        # The bound was far off: it is no reason for a coarse distribution.
        place = max(place / 10.0, wanted)
    return min(unsampled, rounded_up(found))


def _by_renyi(counts: Counts, records: int, delta: float) -> float:
    """Of steps at least as telling, in which all k are drawn as soon as one of them is."""
    steps = [dp.SelfComposedDpEvent(_drawn(part, records), count) for part, count in counts]
    return claim_of(dp.ComposedDpEvent(steps), delta, Adjacency.ADD_OR_REMOVE_ONE)


def _drawn(part: dp.DpEvent, records: int) -> dp.DpEvent:
    if isinstance(part, dp.PoissonSampledDpEvent):
        # Guarantee: given who is drawn, the sum moves by k clips at most; divergences are convex.
        some = -math.expm1(records * math.log1p(-part.sampling_probability))
        return dp.PoissonSampledDpEvent(some, _drawn(part.event, records))
    if isinstance(part, dp.GaussianDpEvent | IntegerNoiseDpEvent):
        return type(part)(part.noise_multiplier / records)
    raise PrivacyError(f"expected Gaussian or integer noise, got {type(part).__name__}")


def _scaled(part: dp.DpEvent, records: int) -> dp.DpEvent:
    """The step for who knows who took part, k times as sensitive."""
    if isinstance(part, dp.GaussianDpEvent):
        return dp.GaussianDpEvent(part.noise_multiplier / records)
    if isinstance(part, dp.PoissonSampledDpEvent):
        return dp.GaussianDpEvent(part.event.noise_multiplier / records)
    raise PrivacyError(f"expected Gaussian steps, got {type(part).__name__}")


def _composed(counts: Counts, records: int, delta: float, interval: float) -> float:
    steps = [(_single(part, records, interval), count) for part, count in counts]
    if delta < _SMALL_DELTA:
        return small_delta_epsilon(steps, delta)
    total = privacy_loss_distribution.identity(value_discretization_interval=interval)
    for single, count in steps:
        total = total.compose(single.self_compose(count))
    epsilon = float(total.get_epsilon_for_delta(delta))
    return math.inf if math.isnan(epsilon) else epsilon


@lru_cache(maxsize=16)
def _single(
    part: dp.DpEvent, records: int, interval: float
) -> privacy_loss_distribution.PrivacyLossDistribution:
    if isinstance(part, dp.GaussianDpEvent):
        return privacy_loss_distribution.from_gaussian_mechanism(
            part.noise_multiplier / records, value_discretization_interval=interval
        )
    drawn = stats.binom(records, part.sampling_probability)
    probabilities = [float(drawn.pmf(count)) for count in range(records + 1)]
    # The rounding of the others goes to the worst case.
    probabilities[-1] = max(0.0, 1.0 - math.fsum(probabilities[:-1]))
    return mixed_gaussian(part.event.noise_multiplier, probabilities, interval=interval)
