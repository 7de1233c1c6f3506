"""Flower's arrays made, named, serialised and put together with one copy of their numbers each.

Flower writes an array through a buffer that grows, to learn the name of each part of it makes the
part's bytes, two copies of them, and throws them away, and puts an array together out of copies of
its parts. What comes out is the same, byte for byte; here an array is filled in while what it was
made of is let go.

Source: Flower 1.41, `flwr.app.Array` and `ArrayChunk`, whose private parts are used;
tests/shared/test_flower_arrays.py and tests/server/test_flower_objects.py hold the contract.
"""

import json
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SType
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_object_body,
    get_object_head_values_from_object_content,
)
from numpy.typing import NDArray

from shared.memory_use import Lone

_ARRAY, _CHUNK = "Array", "ArrayChunk"
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


def inflated_size(contents: Mapping[str, bytes]) -> int:
    """Bytes of all arrays once each has its chunks, however often it names one."""
    total = 0
    for content in contents.values():
        kind, children, _ = get_object_head_values_from_object_content(content)
        if kind != _ARRAY:
            continue
        places = json.loads(get_object_body(content, Array))["arraychunk_ids"]
        for place, times in Counter(places).items():
            total += times * len(contents[children[place]])
    return total


class Arrays:
    """Every array of a message, put together; it and its chunks are taken out of `contents`.

    Args:
        contents: Of all objects of a message, by id; changed.

    Attributes:
        objects: Without their numbers, which Flower would copy: a name in place of them.

    Raises:
        ValueError: or another error of Flower's, where it is not what Flower makes.
    """

    def __init__(self, contents: dict[str, bytes]) -> None:
        parts = dict[str, list[str]]()
        for name, content in contents.items():
            kind, children, _ = get_object_head_values_from_object_content(content)
            if kind == _ARRAY:
                parts[name] = children
        uses = Counter(child for children in parts.values() for child in set(children))
        self._numbers: dict[bytes, Lone] = {}
        self.objects: dict[str, InflatableObject] = {}
        for name, children in parts.items():
            described = json.loads(get_object_body(contents.pop(name), Array))
            chunks = [children[place] for place in described.pop("arraychunk_ids")]
            if set(chunks) != set(children):
                raise ValueError("expected an array of all its chunks")
            described["shape"] = tuple(described["shape"])
            self._numbers[name.encode()] = _joined(contents, chunks, uses)
            self.objects[name] = Array(**described, data=name.encode())

    def fill(self, record: RecordDict) -> None:
        """Put the numbers into what Flower made of `objects`."""
        for part in record.array_records.values():
            for array in part.values():
                numbers: Any = self._numbers[array.data]
                array.data = numbers  # bytes to whoever reads them, but never copied


def _joined(contents: dict[str, bytes], chunks: list[str], uses: Counter[str]) -> Lone:
    """What `chunks` hold; each is taken out of `contents` once no array needs it any more."""
    # It grows while they go. Made at once it would be filled with zeros, and all be there twice.
    data, left = Lone(), Counter(chunks)
    for chunk in chunks:
        content = contents[chunk]
        data += memoryview(content)[len(content) - _length(content) :]
        left[chunk] -= 1
        uses[chunk] -= not left[chunk]
        if not uses[chunk]:
            del contents[chunk]
    return data


def _length(content: bytes) -> int:
    """Bytes that a chunk holds. Raises ValueError unless it is one."""
    kind, children, _ = get_object_head_values_from_object_content(content)
    if kind != _CHUNK or children:
        raise ValueError("expected a chunk of an array, got another object")
    return len(content) - content.index(HEAD_BODY_DIVIDER) - len(HEAD_BODY_DIVIDER)
