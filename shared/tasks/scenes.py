"""Scenes of one to three pieces of clothing, and where each piece is.

A scene is composed of three images of the pool, which are in no other scene, at places that depend
on those images alone (`shared.own_draws`): so a scene is one record, and so is each image in it.
Pieces lie in different quarters and do not overlap.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import DataError
from shared.own_draws import own_draws
from shared.task import Examples

SIDE, CELLS = 64, 8  # pixels and cells of a scene, in each direction
CELL = SIDE // CELLS
LARGEST = SIDE // 2  # side of a quarter, and of the largest box
_PIECES = 3
_BLANK = -1.0
_PIXEL = -0.8  # above it a pixel is of the piece, below of its background


class Cell(NamedTuple):
    """Where the numbers of a cell's target stand, last axis of the targets.

    Attributes:
        object: 1 where the middle of a piece is in the cell, else all is 0.
        box: Middle in cells from the cell's corner, then height and width in `LARGEST`.
        kind: Of the clothing, 0 to 9.
    """

    object: int = 0
    box: slice = slice(1, 5)
    kind: int = 5
    numbers: int = 6


CONTENT = Cell()


def composed(pool: Examples) -> Examples:
    """Scenes (n, 1, 64, 64) and targets (n, 8, 8, 6), float32, of every three images in turn.

    Args:
        pool: Images of shape (m, 1, 28, 28) in [-1, 1] with kinds; up to two are left over.

    Raises:
        DataError: fewer than three images.
    """
    count = len(pool) // _PIECES
    if not count:
        raise DataError(
            f"expected at least {_PIECES} images to compose a scene of, got {len(pool)}"
        )
    images = pool.inputs[0][: count * _PIECES, 0].numpy().reshape(count, _PIECES, 28, 28)
    kinds = pool.targets[: count * _PIECES].numpy().reshape(count, _PIECES)
    scenes = np.full((count, 1, SIDE, SIDE), _BLANK, dtype=np.float32)
    targets = np.zeros((count, CELLS, CELLS, CONTENT.numbers), dtype=np.float32)
    draws = own_draws(images, 1 + 4 + 2 * _PIECES, purpose=1)
    for scene in range(count):
        shown = 1 + int(draws[scene, 0] * _PIECES)
        quarters = np.argsort(draws[scene, 1:5])
        shifts = (draws[scene, 5:].reshape(_PIECES, 2) * (LARGEST - 28 + 1)).astype(np.int64)
        for piece in range(shown):
            row, column = np.array(divmod(int(quarters[piece]), 2)) * LARGEST + shifts[piece]
            image = images[scene, piece]
            scenes[scene, 0, row : row + 28, column : column + 28] = image
            _note(targets[scene], _box(image) + np.array([row, column] * 2), kinds[scene, piece])
    return Examples((torch.from_numpy(scenes),), torch.from_numpy(targets))


def _box(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Top, left, bottom, right of what is not background; all of an image that is dark all over."""
    seen = image > _PIXEL
    if not seen.any():
        seen = np.ones_like(seen)
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], dtype=np.float64)


def _note(target: NDArray[np.float32], box: NDArray[np.float64], kind: int) -> None:
    """Write a piece into the cell of its middle."""
    middle, size = (box[:2] + box[2:]) / 2.0, box[2:] - box[:2]
    row, column = (middle // CELL).astype(np.int64)
    cell = target[row, column]
    cell[CONTENT.object], cell[CONTENT.kind] = 1.0, kind
    cell[CONTENT.box] = *(middle / CELL - (row, column)), *(size / LARGEST)
