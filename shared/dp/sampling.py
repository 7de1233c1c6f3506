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
_MANY = 1 << 15
_STEPS = float(1 << 16)


def poisson_sample(count: int, sample_rate: float, *, stream: RandomStream) -> Indices:
    """Each of 0..count-1 independently with probability `sample_rate`, in ascending order.

    The probability is exact up to 2⁻⁵³. May be empty. Of many, two bytes decide on nearly each, and
    the rest of its random number is drawn only where they do not.

    Raises:
        ConfigurationError: `sample_rate` is not in (0, 1].
    """
    if not 0.0 < sample_rate <= 1.0:
        raise ConfigurationError(f"sample_rate must be in (0, 1], got {sample_rate!r}")
    if count < _MANY:
        return np.flatnonzero(stream.uniform(count) < sample_rate).astype(np.int64, copy=False)
    # A number u = (w + v) / 2¹⁶ of a whole w and a v in [0, 1) is below q where w < k, and where
    # w = k and v < 2¹⁶·q - k, with k the whole part of 2¹⁶·q; both differences are exact.
    scaled = sample_rate * _STEPS
    whole = math.floor(scaled)
    words = np.frombuffer(stream.take(2 * count), dtype="<u2")
    drawn = words < whole
    undecided = np.flatnonzero(words == whole)
    drawn[undecided] = stream.uniform(len(undecided)) < scaled - whole
    return np.flatnonzero(drawn).astype(np.int64, copy=False)


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
