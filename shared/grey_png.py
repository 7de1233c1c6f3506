"""Grey pictures as PNG files, by the standard library alone.

Source: Portable Network Graphics, third edition (W3C 2025): 8-bit greyscale, filter 0.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_BEGIN = b"\x89PNG\r\n\x1a\n"
_GREY = (8, 0, 0, 0, 0)  # bits, colour type, compression, filter, interlace


def png(picture: NDArray[np.uint8]) -> bytes:
    """The file of a picture of shape (height, width), 0 black to 255 white."""
    high, wide = picture.shape
    lines = np.concatenate([np.zeros((high, 1), np.uint8), picture], axis=1)  # filter of each: none
    return b"".join(
        (
            _BEGIN,
            _chunk(b"IHDR", struct.pack(">2I5B", wide, high, *_GREY)),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def grid(images: NDArray[np.float32], columns: int, *, zoom: int = 2) -> NDArray[np.uint8]:
    """Images side by side, row after row.

    Args:
        images: Shape (n, height, width), -1 black to 1 white; n a multiple of `columns`.
        columns: Images in a row.
        zoom: Pixels of the picture for one of an image, in each direction.
    """
    count, high, wide = images.shape
    placed = images.reshape(count // columns, columns, high, wide).transpose(0, 2, 1, 3)
    whole = placed.reshape(count // columns * high, columns * wide)
    grey = np.clip(np.rint((whole + 1.0) * 127.5), 0, 255).astype(np.uint8)
    zoomed: NDArray[np.uint8] = grey.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return zoomed


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checked)
