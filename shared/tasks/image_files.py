"""Pictures in files, as the image tasks' models want them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.errors import DataError


def read_images(paths: Sequence[Path], shape: Sequence[int]) -> Tensor:
    """The pictures, black -1 and white 1, shape (n, *shape), float32.

    Args:
        paths: Of pictures in any format that Pillow reads, of any size and colour.
        shape: (channels, height, width); one channel is grey, three are red, green and blue.

    Raises:
        DataError: a file is missing or no picture.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - no training needs it

    channels, height, width = shape
    found = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                scaled = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"expected a picture in {path}, got none that can be read") from error
        pixels = np.asarray(scaled, dtype=np.float32) / 127.5 - 1.0
        found.append(torch.from_numpy(pixels.reshape(height, width, channels)).permute(2, 0, 1))
    return torch.stack(found) if found else torch.zeros(0, *shape)
