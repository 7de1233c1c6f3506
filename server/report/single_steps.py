"""What dp-accounting says of one step; see `recomputation`."""

import logging
import math
from functools import lru_cache
from typing import Any

import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.rdp import RdpAccountant
from scipy import stats

# gaussian (z) | poisson (q, z) | truncated (N, q, cap, z); and with integer noise, of which Rényi
# divergences at whole orders are known and nothing else: integer_noise (z) | poisson_integer (q, z)
Step = tuple[str, tuple[float, ...]]
CONTINUOUS = {"integer_noise": "gaussian", "poisson_integer": "poisson"}
_WHOLE = (*range(11, 65), 80, 96, 128, 192, 256, 512, 1024, 4096)
ORDERS = (*(n / 10 for n in range(11, 110)), *_WHOLE)


@lru_cache(maxsize=32)
def single(step: Step, interval: float, relation: Any) -> PrivacyLossDistribution:
    """Privacy loss of one step."""
    kind, parameters = step
    if kind == "truncated":
        count, rate, cap, noise = parameters
        return privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism(
            dataset_size=int(count),
            sampling_probability=rate,
            truncated_batch_size=int(cap),
            noise_multiplier=noise,
            value_discretization_interval=interval,
            neighboring_relation=relation,
        )
    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=parameters[-1],
        value_discretization_interval=interval,
        sampling_prob=parameters[0] if kind == "poisson" else 1.0,
        neighboring_relation=relation,
    )


@lru_cache(maxsize=32)
def several_records(step: Step, records: int, interval: float) -> PrivacyLossDistribution:
    """Privacy loss of one step for `records` records of one person together."""
    kind, parameters = step
    if kind == "gaussian":
        return privacy_loss_distribution.from_gaussian_mechanism(
            parameters[0] / records, value_discretization_interval=interval
        )
    shares = [float(share) for share in stats.binom(records, parameters[0]).pmf(range(records + 1))]
    return privacy_loss_distribution.from_mixture_gaussian_mechanism(
        standard_deviation=parameters[1],
        sensitivities=[float(drawn) for drawn in range(records + 1)],
        sampling_probs=[*shares[:-1], max(0.0, 1.0 - math.fsum(shares[:-1]))],
        value_discretization_interval=interval,
    )


@lru_cache(maxsize=64)
def renyi_curve(step: Step, relation: Any) -> tuple[float, ...] | None:
    """Rényi divergence of one step at each of ORDERS; None where it is not known."""
    if step[0] in CONTINUOUS:
        curve = renyi_curve((CONTINUOUS[step[0]], step[1]), relation)
        # Only whole orders are known; a divergence does not fall with the order.
        return curve and tuple(curve[ORDERS.index(math.ceil(order))] for order in ORDERS)
    accountant, event = RdpAccountant(list(ORDERS), relation), _event(step)
    if not accountant.supports(event):
        return None
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)  # an order that does not converge is left out, and said each time
    try:
        accountant.compose(event)
    finally:
        log.setLevel(level)
    return tuple(float(value) for value in np.maximum(accountant.rdp, 0.0) + 1e-13)


def _event(step: Step) -> dp.DpEvent:
    kind, parameters = step
    if kind == "gaussian":
        return dp.GaussianDpEvent(*parameters)
    if kind == "poisson":
        return dp.PoissonSampledDpEvent(parameters[0], dp.GaussianDpEvent(parameters[1]))
    return dp.TruncatedSubsampledGaussianDpEvent(*parameters)
