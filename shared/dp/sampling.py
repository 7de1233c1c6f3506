"""Who takes part: Poisson sampling, the only sampling whose amplification we claim.

Source: Mironov, Talwar & Zhang 2019 (arXiv:1908.10530) for Poisson sampling; Chua et al. 2025
(arXiv:2508.15089) for the truncated form; Devroye 1986, ch. III.2, for drawing a size by inversion.
"""

import math
from collections import deque
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError

Indices = NDArray[np.int64]
_MANY = 1 << 15
_RARE = 1.0 / 32  # up to it a sample costs as much as is in it
_LIKELIEST, _LEAST = 1 << 192, 1 << 92  # how likely sizes are, beside each other
_STEPS = float(1 << 16)


def poisson_sample(count: int, sample_rate: float, *, stream: RandomStream) -> Indices:
    """Each of 0..count-1 independently with probability `sample_rate`, in ascending order.

    The probability is exact up to 2⁻⁵³. May be empty. Of many, two bytes decide on nearly each, and
    the rest of its random number is drawn only where they do not; where few of many are drawn, how
    many, and then who.

    Raises:
        ConfigurationError: `sample_rate` is not in (0, 1].
    """
    if not 0.0 < sample_rate <= 1.0:
        raise ConfigurationError(f"sample_rate must be in (0, 1], got {sample_rate!r}")
    if count < _MANY:
        return np.flatnonzero(stream.uniform(count) < sample_rate).astype(np.int64, copy=False)
    if sample_rate <= _RARE:
        return _few_of_many(count, sample_rate, stream)
    # A number u = (w + v) / 2¹⁶ of a whole w and a v in [0, 1) is below q where w < k, and where
    # w = k and v < 2¹⁶·q - k, with k the whole part of 2¹⁶·q; both differences are exact.
    scaled = sample_rate * _STEPS
    whole = math.floor(scaled)
    words = np.frombuffer(stream.take(2 * count), dtype="<u2")
    drawn = words < whole
    undecided = np.flatnonzero(words == whole)
    drawn[undecided] = stream.uniform(len(undecided)) < scaled - whole
    return np.flatnonzero(drawn).astype(np.int64, copy=False)


def _few_of_many(count: int, sample_rate: float, stream: RandomStream) -> Indices:
    # Guarantee: a Poisson sample given its size is uniform among the sets of that size, and the
    # size is binomial; so this is the same law, up to 2⁻⁶⁴ for each size that there may be.
    least, ends = _sizes(count, sample_rate)
    size = least + int(np.searchsorted(ends, stream.words(1)[0], side="right"))
    found = np.zeros(0, dtype=np.uint64)
    while len(found) < size:
        # In the order in which they come, whoever comes again being passed over: uniform.
        coming = np.concatenate([found, _below(count, size - len(found), stream)])
        _, first = np.unique(coming, return_index=True)
        found = coming[np.sort(first)]
    return np.sort(found).astype(np.int64)


def _below(count: int, many: int, stream: RandomStream) -> NDArray[np.uint64]:
    """At most `many` numbers, each uniform on 0..count-1."""
    words = stream.words(many)
    # The last few words would favour the first few numbers.
    return words[words <= np.uint64((1 << 64) // count * count - 1)] % np.uint64(count)


@lru_cache(maxsize=8)
def _sizes(count: int, sample_rate: float) -> tuple[int, NDArray[np.uint64]]:
    """The least size of a sample, and P(size ≤ least), P(size ≤ least + 1), ... in units of 2⁻⁶⁴.

    In whole numbers, so exact but for the last unit; sizes that are 2⁻¹⁰⁰ times as likely as the
    likeliest, or less so, are left out. The last one, of probability 1, is left out too.
    """
    rate = Fraction(sample_rate)
    up, down = rate.numerator, rate.denominator - rate.numerator
    likeliest = min(count, math.floor((count + 1) * rate))
    terms, term = deque([_LIKELIEST]), _LIKELIEST
    for size in range(likeliest, 0, -1):
        term = term * size * down // ((count - size + 1) * up)
        if term < _LEAST:
            break
        terms.appendleft(term)
    least, term = likeliest - len(terms) + 1, _LIKELIEST
    for size in range(likeliest, count):
        term = term * (count - size) * up // ((size + 1) * down)
        if term < _LEAST:
            break
        terms.append(term)
    whole, ends, so_far = sum(terms), list[int](), 0
    for term in terms:
        so_far += term
        ends.append((so_far << 64) // whole)
    return least, np.array(ends[:-1], dtype=np.uint64)


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
