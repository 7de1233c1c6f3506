"""Each coordinate by itself: up to f false values in it move the result only among honest ones.

Source: Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-robust distributed learning"
(arXiv:1803.01498), definitions 1 and 2.
"""

import numpy as np

from server.robust.kept import Block, Kept, Vector


def median(kept: Kept, byzantine: int) -> Vector:
    """The median of each coordinate; of an even number, the mean of the middle two."""
    del byzantine  # fewer than half, whatever their number
    return kept.by_column(_median)


def trimmed_mean(kept: Kept, byzantine: int) -> Vector:
    """The mean of each coordinate without its f smallest and f largest values."""

    def trimmed(block: Block) -> Vector:
        found: Vector = np.sort(block, axis=0)[byzantine : kept.count - byzantine].mean(0)
        return found

    return kept.by_column(trimmed)


def _median(block: Block) -> Vector:
    found: Vector = np.median(block, axis=0)
    return found
