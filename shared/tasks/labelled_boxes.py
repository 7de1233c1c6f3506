"""Boxes drawn into a grey picture, each with the number of its kind beside its corner."""

import numpy as np
from numpy.typing import NDArray

from shared.tasks.boxes import Boxes

_DIGITS = (
    "755557", "222222", "717447", "717117", "557111", "747117", "747557", "711111", "757557",
    "757117",
)  # fmt: skip
_WHITE = 1.0


def framed(scene: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
    """The scene at twice its size, shape (2h, 2w), in [-1, 1]; a kind is a digit, 0 to 9."""
    picture = scene.repeat(2, axis=0).repeat(2, axis=1)
    picture[0], picture[:, 0] = 0.0, 0.0  # where the next scene begins
    last = np.array(picture.shape)[[0, 1, 0, 1]] - 1
    for box, kind in zip(boxes.corners.numpy(), boxes.kinds.tolist(), strict=True):
        top, left, bottom, right = np.clip(np.rint(2.0 * box), 0, last).astype(np.int64)
        picture[[top, bottom], left : right + 1] = _WHITE
        picture[top : bottom + 1, [left, right]] = _WHITE
        _write(picture[top + 2 : top + 8, left + 2 : left + 5], kind)
    return picture


def _write(place: NDArray[np.float32], kind: int) -> None:
    """White on black; what is outside the picture is cut."""
    rows = [[_WHITE if int(row) & bit else -1.0 for bit in (4, 2, 1)] for row in _DIGITS[kind]]
    high, wide = place.shape
    place[:] = np.array(rows, dtype=np.float32)[:high, :wide]
