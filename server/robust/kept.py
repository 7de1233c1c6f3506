"""A round's updates as they came, read a block of columns at a time.

A robust rule needs all updates at once, which a mean does not: n vectors of float32 are kept, where
they lie in the messages. Everything is computed in float64 on blocks, so that no second copy of all
of them is made.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.parameters import FlatVector

Vector = NDArray[np.float64]  # (d,)
Block = NDArray[np.float64]  # (n, columns)
BLOCK_NUMBERS = 1 << 20  # in a block, of all updates together


class Kept:
    """Updates of one length, all finite.

    Args:
        updates: Of shape (d,) each; in the order of the clients' names.
    """

    def __init__(self, updates: Sequence[FlatVector]) -> None:
        self._updates = updates
        self.count = len(updates)
        self.dimension = len(updates[0]) if updates else 0

    def blocks(self) -> Iterator[tuple[slice, Block]]:
        """Columns from left to right: which, and their numbers in float64."""
        width = max(1, BLOCK_NUMBERS // self.count)
        for start in range(0, self.dimension, width):
            part = slice(start, start + width)
            yield part, np.array([update[part] for update in self._updates], dtype=np.float64)

    def by_column(self, reduce: Callable[[Block], Vector]) -> Vector:
        """What `reduce` makes of each block, shape (d,)."""
        found = np.empty(self.dimension)
        for part, block in self.blocks():
            found[part] = reduce(block)
        return found

    def weighted(self, weights: Vector) -> Vector:
        """Σ wᵢ·xᵢ, shape (d,)."""
        return self.by_column(lambda block: weights @ block)

    def squared_distances(self) -> NDArray[np.float64]:
        """‖xᵢ − xⱼ‖² for each pair, shape (n, n).

        From the differences themselves: ‖x‖² + ‖y‖² − 2·x·y loses all digits of the honest ones as
        soon as somebody sends numbers that are much larger.
        """
        found = np.zeros((self.count, self.count))
        for _, block in self.blocks():
            for place in range(self.count - 1):
                apart = np.square(block[place + 1 :] - block[place]).sum(1)
                found[place, place + 1 :] += apart
        return found + found.T

    def distances_to(self, centre: Vector) -> Vector:
        """‖xᵢ − c‖, shape (n,)."""
        squares = np.zeros(self.count)
        for part, block in self.blocks():
            squares += np.square(block - centre[part]).sum(1)
        return np.sqrt(squares)

    def norms(self) -> Vector:
        """‖xᵢ‖, shape (n,)."""
        return self.distances_to(np.zeros(self.dimension))
