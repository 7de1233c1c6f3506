"""Reading of IDX files, the form in which MNIST and its like are published.

Source: Yann LeCun's description of the format: two zero bytes, the type (8 = unsigned byte), the
number of axes, each axis as a big-endian 32-bit number, then the numbers.
"""

import gzip
import lzma
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError

_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
}
_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in `path` (plain, .gz or .xz), a writable copy.

    Raises:
        DataError: missing, cut short, or not an IDX file of unsigned bytes; names the file.
    """
    decompress = _DECOMPRESS.get(path.suffix, bytes)
    try:
        content = decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise DataError(f"{path} must start as an IDX file of bytes, got {content[:4].hex()}")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path} must have a header of {header} bytes, got {len(content)}")
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    expected = math.prod(shape)  # Python's numbers: numpy's product could wrap around to a match
    if len(content) - header != expected:
        raise DataError(
            f"{path} must hold {expected} bytes of shape {shape}, got {len(content) - header}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy()
