"""How numbers that no budget counts are written: few digits, rounded up, each of them meant.

Seventeen digits of a bound are noise, and a digit that means nothing can be checked by nobody.
Epsilons are rounded by the accountant, to four decimals.
"""

import math
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

DIGITS = 5
_SMALLEST = -14  # no bound is worth more decimals


def rounded_up(value: float, digits: int = DIGITS) -> float:
    """`value` ≥ 0 at `digits` significant digits and at most 14 decimals, never below it.

    Infinity stays.

    >>> [rounded_up(value) for value in (0.1580493, 2.0, 1.2e-17, 0.0)]
    [0.15805, 2.0, 1e-14, 0.0]
    """
    if value == 0.0 or math.isinf(value):
        return value
    exact = Decimal(value)
    last = max(exact.adjusted() - digits + 1, _SMALLEST)
    return float(exact.quantize(Decimal(1).scaleb(last), rounding=ROUND_CEILING))


def pairs_up(places: Iterable[float], values: Iterable[float]) -> list[list[float]]:
    """A curve: places as they are, values rounded up."""
    return [[float(p), rounded_up(float(v))] for p, v in zip(places, values, strict=True)]
