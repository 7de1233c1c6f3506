"""Samples of an integer distribution by inversion of its table, from random bits alone.

A sample is the number of thresholds at or below a uniform number of 192 bits, of which as many
bits are drawn as it takes: 16 in most cases, 64 in almost all. No float decides anything. Each
threshold is known to 2⁻¹⁹², so a sample is off in total variation by (table size)·2⁻¹⁹² and what
lies beyond the table, below 2⁻¹⁵⁰ together.

In a wide table three numbers in ten need 64 bits. The guide says from which threshold on they are
to be compared, and nearly all lie between two neighbours there: no search.

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
_BEYOND = 2**64 - 1  # behind the last threshold, so that each has a neighbour


class InversionTable:
    """A symmetric distribution on -m..m.

    Args:
        weights: Positive whole numbers in proportion to P[X = k], k = 0..m.

    Raises:
        ConfigurationError: no weights.
    """

    __slots__ = ("_below", "_exact", "_guide", "_middle", "_words")

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
        self._words = np.array([*shifted, _BEYOND], dtype=np.uint64)
        self._below, self._guide = _guide(self._thresholds, self._middle)

    @property
    def _thresholds(self) -> NDArray[np.uint64]:
        """Their first 64 bits, in order."""
        return self._words[:-1]

    def sample(self, count: int, stream: RandomStream) -> Integers:
        """Independent samples, shape (count,)."""
        out = np.empty(count, dtype=np.int64)
        for start in range(0, count, _CHUNK):
            part = out[start : start + _CHUNK]
            part[:] = self._chunk(len(part), stream)
        return out

    def add_to(self, total: Integers, step: int, stream: RandomStream) -> None:
        """Add `step` times an independent sample to each number of `total`."""
        for start in range(0, len(total), _CHUNK):
            part = total[start : start + _CHUNK]
            part += np.multiply(self._chunk(len(part), stream), step, dtype=np.int64)

    def _chunk(self, count: int, stream: RandomStream) -> NDArray[np.int32]:
        top = np.frombuffer(stream.take(2 * count), dtype="<u2")
        found = self._guide.take(top)
        unclear = np.flatnonzero(found == _UNCLEAR)
        if len(unclear):
            found[unclear] = self._refined(top.take(unclear), stream)
        return found

    def _refined(self, top: NDArray[np.uint16], stream: RandomStream) -> NDArray[np.int32]:
        """The samples of uniform numbers that begin with `top`, from 48 bits more."""
        parts = np.empty((len(top), 4), dtype="<u2")
        parts[:, :3] = np.frombuffer(stream.take(6 * len(top)), dtype="<u2").reshape(-1, 3)
        parts[:, 3] = top
        uniform = parts.view("<u8")[:, 0]
        below = self._below.take(top)
        first, second = self._words.take(below), self._words.take(below + 1)
        places: NDArray[np.int32] = below + (first < uniform)
        # Guarantee: what is not strictly below, or strictly between, is looked for among all.
        others = np.flatnonzero((first == uniform) | (second <= uniform))
        if len(others):
            places[others] = self._searched(uniform[others], stream)
        places -= self._middle
        return places

    def _searched(self, uniform: NDArray[np.uint64], stream: RandomStream) -> NDArray[np.intp]:
        """How many thresholds are at or below each, from 128 bits more where 64 do not decide."""
        words = self._thresholds
        places = np.searchsorted(words, uniform, side="right")
        # Guarantee: where 64 bits equal a threshold's, those that follow decide.
        ties = np.flatnonzero((places > 0) & (words[np.maximum(places - 1, 0)] == uniform))
        for tie in ties:
            places[tie] = self._exactly(int(uniform[tie]), stream)
        return places

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


def _guide(words: NDArray[np.uint64], middle: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For every 16 bits: thresholds below all numbers that begin so; their sample or `_UNCLEAR`."""
    first = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    last = first + np.uint64((1 << 48) - 1)
    # A threshold whose first 64 bits equal the last number of a cell may lie above or below it.
    below = np.searchsorted(words, first, side="left").astype(np.int32)
    above = np.searchsorted(words, last, side="right")
    guide = below - np.int32(middle)
    guide[below != above] = _UNCLEAR
    return below, guide
