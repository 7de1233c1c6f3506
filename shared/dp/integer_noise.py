"""Integer noise for sums modulo a power of two: discrete Gaussian and Skellam.

Both by table inversion from random bits; no float decides a sample, so attacks on floating-point
noise (Mironov 2012) find nothing. A wide discrete Gaussian is made of two narrow ones.

Source: Canonne, Kamath & Steinke 2020 (arXiv:2004.00010) for the discrete Gaussian; Agarwal,
Kairouz & Liu 2021 (arXiv:2110.04995) for Skellam; Micciancio & Walter 2017 (eprint 2017/259) for
sums of discrete Gaussians on a lattice.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

from shared.dp.inversion import Integers, InversionTable
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError

WIDEST_GAUSSIAN = 2**40  # variance
WIDEST_SKELLAM = 2**24
_DIRECT = 300**2  # variance of the widest table
_BITS = 320  # of fixed-point numbers while a table is made
_TAIL_BITS = 160  # what lies beyond a table is below 2 to the minus this
_SMOOTH = 3  # standard deviation of the shifted lattice sum; e^(-2π²·9) < 10⁻⁷⁷


def discrete_gaussian(variance: int, count: int, stream: RandomStream) -> Integers:
    """Independent N_ℤ(0, variance), shape (count,): P[k] in proportion to exp(-k²/(2·variance)).

    Above a variance of 300² it is X₁ + m·X₂ of narrow ones, with
    P[X₁ + m·X₂ = x] / P[x] within a factor 1 ± 10⁻⁷⁶ for every x.

    Args:
        variance: σ², a whole number in [1, 2⁴⁰].
        count: How many.
        stream: Of this noise alone.

    Raises:
        ConfigurationError: another variance.
    """
    _check(variance, WIDEST_GAUSSIAN)
    (_, narrowest), *others = _parts(variance)
    total = _gaussian_table(narrowest).sample(count, stream)
    for step, part in others:
        _gaussian_table(part).add_to(total, step, stream)
    return total


def skellam(variance: int, count: int, stream: RandomStream) -> Integers:
    """Independent differences of two Poisson(variance/2), shape (count,).

    Args:
        variance: A whole number in [1, 2²⁴].
        count: How many.
        stream: Of this noise alone.

    Raises:
        ConfigurationError: another variance.
    """
    _check(variance, WIDEST_SKELLAM)
    return _skellam_table(variance).sample(count, stream)


def _check(variance: int, most: int) -> None:
    if type(variance) is not int or not 1 <= variance <= most:
        raise ConfigurationError(
            f"expected a whole variance from 1 to {most}, got {variance!r}: no noise is no privacy"
        )


def _parts(variance: int) -> Iterator[tuple[int, int]]:
    """(m, variance) of narrow ones: the sum of m times each has `variance`; the first has m = 1."""
    if variance <= _DIRECT:
        yield 1, variance
        return
    step, narrow, wide = _split(variance)
    yield from _parts(narrow)
    for further, part in _parts(wide):
        yield step * further, part


def _split(variance: int) -> tuple[int, int, int]:
    """(m, variance of X₁, variance of X₂), variance = X₁ + m²·X₂, both wide enough for m.

    P[X₁ + m·X₂ = x] is P[x] times a sum over ℤ shifted by a real number, of deviation
    σ₁σ₂/σ: at 3 and more, that sum is the same for every shift but for 2·e^(-2π²·9) of it.
    """
    step = max(2, math.isqrt(math.isqrt(variance) // _SMOOTH))
    wide = variance // (step * step)
    # X₁ must be m times as wide as the sum is smooth, and a little more.
    wide -= (_SMOOTH + 1) ** 2
    return step, variance - step * step * wide, wide


@lru_cache(maxsize=16)
def _gaussian_table(variance: int) -> InversionTable:
    """Weights exp(-k²/2σ²) = Π of q^(2j+1), q = exp(-1/2σ²), in fixed point."""
    q = _exp_minus(1, 2 * variance)
    square = q * q >> _BITS
    weights, weight, factor = [], 1 << _BITS, q
    # What is left out is below the last weight times the deviation.
    while weight >> (_BITS - _TAIL_BITS - 32):
        weights.append(weight)
        weight = weight * factor >> _BITS
        factor = factor * square >> _BITS
    return InversionTable(tuple(weights))


@lru_cache(maxsize=16)
def _skellam_table(variance: int) -> InversionTable:
    """Weights I_k(variance), by Miller's backward recurrence I_(k-1) = I_(k+1) + (2k/x)·I_k."""
    # From so far out that the error of starting at (0, 1) is beyond the last bit.
    start = 40 + int(24 * math.sqrt(variance)) + (160 if variance < 2**12 else 0)
    above, here = 0, 1 << 256
    found = [here]
    for k in range(start, 0, -1):
        above, here = here, above + (2 * k * here) // variance
        found.append(here)
    found.reverse()
    floor = found[0] >> (_TAIL_BITS + 32)
    return InversionTable(tuple(weight for weight in found if weight > floor))


def _exp_minus(numerator: int, denominator: int) -> int:
    """exp(-numerator/denominator) in fixed point of _BITS bits, for at most 1."""
    term = total = 1 << _BITS
    for order in range(1, 200):
        term = -(term * numerator) // (denominator * order)
        total += term
    return total
