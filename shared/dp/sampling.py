"""Who takes part: Poisson sampling, the only sampling whose amplification we claim.

Source: Mironov, Talwar & Zhang 2019 (arXiv:1908.10530) for Poisson sampling; Chua et al. 2025
(arXiv:2508.15089) for the truncated form.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError

Indices = NDArray[np.int64]


def poisson_sample(count: int, sample_rate: float, *, stream: RandomStream) -> Indices:
    """Each of 0..count-1 independently with probability `sample_rate`, in ascending order.

    The probability is exact up to 2⁻⁵³. May be empty.

    Raises:
        ConfigurationError: `sample_rate` is not in (0, 1].
    """
    if not 0.0 < sample_rate <= 1.0:
        raise ConfigurationError(f"sample_rate must be in (0, 1], got {sample_rate!r}")
    return np.flatnonzero(stream.uniform(count) < sample_rate).astype(np.int64, copy=False)


def truncated_poisson_sample(
    count: int, sample_rate: float, cap: int, *, stream: RandomStream
) -> Indices:
    """A Poisson sample; above `cap` a uniformly random subset of it of size `cap`; ascending.

    Raises:
        ConfigurationError: `sample_rate` is not in (0, 1], or `cap` is not positive.
    """
    if cap < 1:
        raise ConfigurationError(f"cap must be at least 1, got {cap}")
    drawn = poisson_sample(count, sample_rate, stream=stream)
    if len(drawn) <= cap:
        return drawn
    return np.sort(drawn[stream.permutation(len(drawn))[:cap]])


def cohort_cap(population: int, sample_rate: float) -> int:
    """Largest cohort: mean + 6 standard deviations, at most the population; public.

    At six standard deviations the cap costs under 0.1 % of epsilon (docs/privacy.md).

    >>> cohort_cap(1000, 0.1), cohort_cap(20, 1.0)
    (157, 20)
    """
    mean = population * sample_rate
    spread = math.sqrt(mean * (1.0 - sample_rate))
    return min(population, math.ceil(mean + 6.0 * spread))
