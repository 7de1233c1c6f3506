"""What holds for k records of one person, where the unit is one record.

A step samples each of the k on its own, so the sum moves by as many clips as were drawn: a mixture
of Gaussians. That is far better than k times epsilon, and far worse than one record's.

Source: Ganesh 2024 (arXiv:2401.10294), mixture of Gaussians, as TF-Privacy accounts user level.
"""

import math

import dp_accounting
from dp_accounting import dp_event as dp
from dp_accounting.pld import PLDAccountant
from scipy import stats

from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.steps import merged
from shared.errors import PrivacyError

_INTERVAL = 1e-3


def group_epsilon(event: dp.DpEvent, records: int, delta: float) -> float:
    """An epsilon at `delta` for `records` records together, add-or-remove, rounded up.

    Args:
        event: What one record was exposed to: Gaussian steps, Poisson sampled or not.
        records: k ≥ 1.
        delta: In (0, 1).

    Raises:
        PrivacyError: another kind of step, or no record.
    """
    if records < 1:
        raise PrivacyError(f"expected at least one record, got {records}")
    accountant = PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=_INTERVAL,
    )
    bare: list[dp.DpEvent] = []
    for part, count in merged(event):
        if isinstance(part, dp.GaussianDpEvent):
            # k records together move the sum by k clips at most.
            fewer = dp.GaussianDpEvent(part.noise_multiplier / records)
            bare.append(dp.SelfComposedDpEvent(fewer, count))
        elif isinstance(part, dp.PoissonSampledDpEvent):
            accountant.compose(_mixture(part, records), count)
            whole = dp.GaussianDpEvent(part.event.noise_multiplier / records)
            bare.append(dp.SelfComposedDpEvent(whole, count))
        else:
            raise PrivacyError(f"expected Gaussian steps, got {type(part).__name__}")
        if isinstance(part, dp.GaussianDpEvent):
            accountant.compose(dp.GaussianDpEvent(part.noise_multiplier / records), count)
    unsampled = epsilon_of(dp.ComposedDpEvent(bare), delta, Adjacency.ADD_OR_REMOVE_ONE).epsilon
    sampled = float(accountant.get_epsilon(delta))
    return min(unsampled, math.ceil(sampled * 1e4 + 1e-6) / 1e4)


def _mixture(part: dp.PoissonSampledDpEvent, records: int) -> dp.DpEvent:
    drawn = stats.binom(records, part.sampling_probability)
    probabilities = [float(drawn.pmf(count)) for count in range(records + 1)]
    # The rounding of the others goes to the worst case.
    probabilities[-1] = max(0.0, 1.0 - math.fsum(probabilities[:-1]))
    sensitivities = [float(count) for count in range(records + 1)]
    return dp.MixtureOfGaussiansDpEvent(part.event.noise_multiplier, sensitivities, probabilities)
