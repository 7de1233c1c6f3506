"""Numbers drawn for each example from its own content: the same wherever it lies, whoever holds it.

With them one example's noise, or what it is composed with, depends on no other example, on no order
and on no number of examples, so that the unit of privacy stays the example. Nothing secret comes
from here: whoever knows the example knows its numbers.

Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", for the mixing.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def own_draws(content: NDArray[np.generic], count: int, *, purpose: int = 0) -> NDArray[np.float64]:
    """Shape (n, count), uniform in [0, 1), row i a function of row i of `content` alone.

    Args:
        content: Shape (n, ...).
        count: Numbers for each example.
        purpose: Others for each.
    """
    rows = np.ascontiguousarray(content)
    marks = [zlib.crc32(row.tobytes(), purpose) for row in rows]
    first = np.array(marks, dtype=np.uint64)[:, None] << np.uint64(32)
    mixed = first + _STEP * np.arange(1, count + 1, dtype=np.uint64)
    for factor, shift in zip(_FACTORS, _SHIFTS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    mixed ^= mixed >> _SHIFTS[-1]
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
