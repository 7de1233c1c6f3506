"""Flower's arrays made, named and serialised with one copy of their numbers each.

Flower writes an array through a buffer that grows, and to learn the name of each part of it makes
the part's bytes, two copies of them, and throws them away. What comes out is the same, byte for
byte.

Source: Flower 1.41, `flwr.app.Array` and `ArrayChunk`, whose private parts are used;
tests/shared/test_flower_arrays.py holds the contract.
"""

from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SType
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from numpy.typing import NDArray

_CHUNKS = "_chunks"  # where Flower's array keeps them


class _Chunk(ArrayChunk):
    """A part of an array that knows its name."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self._head = f"ArrayChunk  {len(data)}".encode() + HEAD_BODY_DIVIDER
        digest = sha256(self._head)
        digest.update(data)
        self._name = digest.hexdigest()

    @property
    def object_id(self) -> str:
        """SHA-256 of what `deflate` returns."""
        return self._name

    def deflate(self) -> bytes:
        """As Flower's."""
        return b"".join((self._head, self.data))


def array_of(numbers: NDArray[Any]) -> Array:
    """As `Array(numbers)`, of numbers that lie one after the other."""
    whole = np.ascontiguousarray(numbers)
    head = BytesIO()
    described = np.lib.format.header_data_from_array_1_0(whole)
    np.lib.format.write_array_header_1_0(head, described)
    return Array(
        dtype=str(whole.dtype),
        shape=tuple(whole.shape),
        stype=SType.NUMPY,
        data=b"".join((head.getvalue(), whole.reshape(-1).view(np.uint8).data)),
    )


def name_parts(record: RecordDict) -> None:
    """The parts of each array in `record` have their names: Flower asks them, and computes none.

    To be called before Flower does. What is changed afterwards gets new parts, by Flower's way.
    """
    for arrays in record.array_records.values():
        for array in arrays.values():
            if _CHUNKS not in array.__dict__:
                view = memoryview(array.data)
                parts = [
                    _Chunk(view[start : start + FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE])
                    for start in range(0, len(view), FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE)
                ]
                array.__dict__[_CHUNKS] = [(part.object_id, part) for part in parts]
