"""A number as a report must tell it; see `recomputation`.

The report rounds upwards: epsilons to four decimals, other bounds to some significant digits. A
number is right if it is what the recomputed one rounds to, from a hair below or a hair above it:
two computers need not agree on the last bits of a convolution.
"""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any

_HAIR = 1e-9  # relative
_BITS = 2e-16  # absolute, of what an FFT composed: never below 10⁻¹²
_LAST_DECIMAL = 14
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Told:
    """An upper bound to be told.

    Attributes:
        value: As it was recomputed; infinity is told as the text "inf".
        digits: Significant digits; 0: four decimals, as epsilons have.
    """

    value: float
    digits: int = 0

    def is_told_by(self, found: Any) -> bool:
        """Whether a report may have `found` in this place."""
        if math.isinf(self.value):
            return bool(found == "inf")
        if isinstance(found, bool) or not isinstance(found, int | float):
            return False
        return found in _told(self.value, self.digits)

    @property
    def number(self) -> float:
        """What it is rounded to."""
        return _rounded(self.value, self.digits)


@lru_cache(maxsize=1 << 14)
def _told(value: float, digits: int) -> frozenset[float]:
    bits = _BITS if value > 1e-13 else 0.0
    moved = (max(0.0, value + sign * (_HAIR * value + bits)) for sign in (-1.0, 1.0))
    return frozenset(_rounded(place, digits) for place in moved)


def _rounded(value: float, digits: int) -> float:
    if math.isinf(value) or value == 0.0:
        return value
    exact = Decimal(value)
    last = -4 if digits == 0 else exact.adjusted() - digits + 1
    unit = Decimal(10) ** max(last, -_LAST_DECIMAL)
    return float((exact / unit).to_integral_value(rounding=ROUND_CEILING) * unit)


def numbers_in(text: str) -> list[str]:
    """The numbers of a text, in order, as they are written.

    >>> numbers_in("a factor e^2.254 plus 1e-05, at 0.1 %")
    ['2.254', '1e-05', '0.1']
    """
    return _NUMBER.findall(text)
