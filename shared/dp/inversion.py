"""Samples of an integer distribution by inversion of its table, from random bits alone.

A sample is the number of thresholds at or below a uniform number of 192 bits, of which as many
bits are drawn as it takes: 16 in most cases, 64 in almost all. No float decides anything. Each
threshold is known to 2⁻¹⁹², so a sample is off in total variation by (table size)·2⁻¹⁹² and what
lies beyond the table, below 2⁻¹⁵⁰ together.

Source: Devroye 1986, chapter III (inversion with a guide table).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError

Integers = NDArray[np.int64]
PRECISION = 192  # bits of a threshold
_UNCLEAR = np.iinfo(np.int32).min
_CHUNK = 1 << 16


class InversionTable:
    """A symmetric distribution on -m..m.

    Args:
        weights: Positive whole numbers in proportion to P[X = k], k = 0..m.

    Raises:
        ConfigurationError: no weights.
    """

    __slots__ = ("_exact", "_guide", "_middle", "_words")

    def __init__(self, weights: Sequence[int]) -> None:
        if not weights:
            raise ConfigurationError("expected weights, got none")
        both = [*reversed(weights[1:]), *weights]
        total, reached = sum(both), 0
        self._middle = len(weights) - 1
        self._exact: list[int] = []
        for weight in both[:-1]:
            reached += weight
            self._exact.append((reached << PRECISION) // total)
        shifted = [value >> (PRECISION - 64) for value in self._exact]
        self._words = np.array(shifted, dtype=np.uint64)
        self._guide = _guide(self._words, self._middle)

    def sample(self, count: int, stream: RandomStream) -> Integers:
        """Independent samples, shape (count,)."""
        out = np.empty(count, dtype=np.int64)
        for start in range(0, count, _CHUNK):
            part = out[start : start + _CHUNK]
            part[:] = self._chunk(len(part), stream)
        return out

    def _chunk(self, count: int, stream: RandomStream) -> NDArray[np.int32]:
        top = np.frombuffer(stream.take(2 * count), dtype="<u2")
        found = self._guide.take(top)
        unclear = np.flatnonzero(found == _UNCLEAR)
        if len(unclear):
            found[unclear] = self._refined(top[unclear], stream)
        return found

    def _refined(self, top: NDArray[np.uint16], stream: RandomStream) -> NDArray[np.int32]:
        """The samples of uniform numbers that begin with `top`, from 48 bits more."""
        words = self._words
        rest = np.zeros((len(top), 8), dtype=np.uint8)
        rest[:, :6] = np.frombuffer(stream.take(6 * len(top)), dtype=np.uint8).reshape(-1, 6)
        uniform = rest.view("<u8")[:, 0] | (top.astype(np.uint64) << np.uint64(48))
        places = np.searchsorted(words, uniform, side="right")
        # Guarantee: where 64 bits equal a threshold's, those that follow decide.
        ties = np.flatnonzero((places > 0) & (words[np.maximum(places - 1, 0)] == uniform))
        for tie in ties:
            places[tie] = self._exactly(int(uniform[tie]), stream)
        shifted: NDArray[np.int32] = (places - self._middle).astype(np.int32)
        return shifted

    def _exactly(self, uniform: int, stream: RandomStream) -> int:
        exact = self._exact
        bits = PRECISION - 64
        whole = (uniform << bits) | int.from_bytes(stream.take(bits // 8), "little")
        low, high = 0, len(exact)
        while low < high:
            middle = (low + high) // 2
            if exact[middle] <= whole:
                low = middle + 1
            else:
                high = middle
        return low


def _guide(words: NDArray[np.uint64], middle: int) -> NDArray[np.int32]:
    """The sample of every uniform number that begins with these 16 bits, or `_UNCLEAR`."""
    first = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    last = first + np.uint64((1 << 48) - 1)
    # A threshold whose first 64 bits equal the last number of a cell may lie above or below it.
    below = np.searchsorted(words, first, side="left")
    above = np.searchsorted(words, last, side="right")
    guide = (below - middle).astype(np.int32)
    guide[below != above] = _UNCLEAR
    return guide
