"""Arrays are Flower's, byte for byte, though made without Flower's copies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from numpy.typing import NDArray

from shared.flower_arrays import Arrays, array_of, name_parts

LARGE = np.arange(3_000_000, dtype=np.float32)
ARRAYS = [
    LARGE,
    np.zeros(2_700_000, dtype=np.float32),
    LARGE[:0],
    LARGE[::2],
    LARGE[:7].astype("u1"),
    np.arange(6.0).reshape(2, 3),
]


def record_of(*arrays: Array) -> RecordDict:
    """A message's content."""
    return RecordDict({"a": ArrayRecord({str(i): array for i, array in enumerate(arrays)})})


@pytest.mark.parametrize("numbers", ARRAYS)
def test_an_array_is_flowers(numbers: NDArray[Any]) -> None:
    """Large, of equal parts, empty, with gaps, of bytes, in rows."""
    assert array_of(numbers) == Array(np.ascontiguousarray(numbers))


def test_parts_are_flowers_and_are_put_together_by_it() -> None:
    """Names, contents and tree; a part that occurs twice once."""
    own = record_of(*map(array_of, ARRAYS))
    flowers = record_of(*(Array(np.ascontiguousarray(numbers)) for numbers in ARRAYS))
    name_parts(own)
    named = get_all_nested_objects(own)
    assert {name: part.deflate() for name, part in named.items()} == {
        name: part.deflate() for name, part in get_all_nested_objects(flowers).items()
    }
    assert list(named) == list(get_all_nested_objects(flowers))
    assert get_object_tree(own) == get_object_tree(flowers)
    contents = {name: part.deflate() for name, part in named.items()}
    assert inflate_object_from_contents(own.object_id, contents) == flowers


def test_an_array_that_is_changed_has_other_parts() -> None:
    """Names are never those of other numbers."""
    array = array_of(LARGE)
    record = record_of(array)
    name_parts(record)
    before = array.object_id
    name_parts(record)
    assert array.object_id == before
    array.data = array_of(LARGE + 1).data
    name_parts(record)
    assert array.object_id == Array(LARGE + 1).object_id != before


def test_an_array_that_leaves_a_chunk_out_is_refused() -> None:
    """Its name promises all of them."""
    record = record_of(array_of(LARGE))
    name_parts(record)
    contents = {name: part.deflate() for name, part in get_all_nested_objects(record).items()}
    assert list(Arrays(dict(contents)).objects) == [array_name(contents)]
    whole = contents[array_name(contents)]
    changed = whole.replace(b"[0, 1, 2]", b"[0, 1, 1]")
    assert changed != whole
    with pytest.raises(ValueError, match="an array of all its chunks"):
        Arrays(contents | {array_name(contents): changed})


def array_name(contents: Mapping[str, bytes]) -> str:
    """Of the one array."""
    (found,) = (name for name, content in contents.items() if content.startswith(b"Array "))
    return found


def test_a_record_without_arrays_has_no_parts() -> None:
    """Nothing to be done."""
    record = RecordDict()
    name_parts(record)
    assert record == RecordDict()
