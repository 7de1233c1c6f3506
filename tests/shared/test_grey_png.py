"""PNG files that other programs read back as what they were."""

import io

import numpy as np
from PIL import Image

from shared.grey_png import grid, png


def test_a_file_holds_the_picture() -> None:
    """Every pixel, of a picture that is not square."""
    picture = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
    with Image.open(io.BytesIO(png(picture))) as found:
        assert found.format == "PNG"
        assert np.array_equal(np.asarray(found), picture)


def test_images_lie_row_after_row() -> None:
    """Black is -1, white is 1; what is outside is cut."""
    images = np.stack([np.full((1, 2), value, np.float32) for value in (-1, 0, 1, -3, 0.5, 9)])
    assert grid(images, 3, zoom=1).tolist() == [
        [0, 0, 128, 128, 255, 255],
        [0, 0, 191, 191, 255, 255],
    ]
    assert grid(images, 3).shape == (4, 12)
