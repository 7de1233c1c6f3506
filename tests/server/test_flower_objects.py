"""A message's objects are those that Flower makes and reads, with a fraction of the copies."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    add_header_to_object_body,
    get_all_nested_objects,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from server.bounded_grid import BoundedGrid
from server.flower_objects import AT_ONCE, in_turn
from server.sizes import vector_bytes
from shared.flower_arrays import Arrays
from tests.server.fake_grid import FIRST_NODE
from tests.server.stub_superlink import StubGrid, StubSuperLink, too_large

MIB = 1 << 20
LARGE = 24 * MIB


def record(*vectors: np.ndarray[Any, Any]) -> RecordDict:
    """Some numbers."""
    arrays = {str(place): Array(vector) for place, vector in enumerate(vectors)}
    return RecordDict({"header": ConfigRecord({"a": 1}), "vectors": ArrayRecord(arrays)})


def asked(content: RecordDict, node: int = FIRST_NODE) -> Message:
    """A message to a node."""
    return Message(content, dst_node_id=node, message_type="train", group_id="1")


def contents_of(message: Message) -> dict[str, bytes]:
    """As they come over the network."""
    return {name: part.deflate() for name, part in get_all_nested_objects(message).items()}


def inflated(message: Message) -> RecordDict:
    """The content that was put together by `Arrays`, of which nothing is left over."""
    contents = contents_of(message)
    arrays = Arrays(contents)
    found = inflate_object_from_contents(message.object_id, contents, objects=arrays.objects)
    assert isinstance(found, Message)
    assert contents == {}
    arrays.fill(found.content)
    return found.content


def test_arrays_are_what_flower_makes_of_them() -> None:
    """Also of no number, of equal parts, and where two arrays are equal or share a part."""
    zeros = np.zeros(3 * MIB, dtype=np.float32)
    part = np.concatenate([zeros, np.ones(5, dtype=np.float32)])
    for vectors in ([], [np.zeros(0, dtype=np.uint8)], [zeros, zeros, part], [part, zeros]):
        sent = record(*vectors)
        found = inflated(asked(sent))
        assert list(found["vectors"]) == list(sent["vectors"])
        for name, array in sent.array_records["vectors"].items():
            other = found.array_records["vectors"][name]
            assert (other.dtype, other.shape, other.stype) == (
                array.dtype,
                array.shape,
                array.stype,
            )
            assert other.data == array.data


def test_an_array_takes_the_place_of_its_parts() -> None:
    """Flower's own takes three times as much on the way."""
    contents = contents_of(asked(record(np.arange(LARGE // 4, dtype=np.float32))))
    tracemalloc.start()
    try:
        arrays = Arrays(contents)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(arrays.objects) == 1
    assert peak < LARGE + 6 * MIB  # one part, read once more


def test_a_part_that_is_no_chunk_is_refused() -> None:
    """Flower's own says so too."""
    message = asked(record(np.ones(3, dtype=np.float32)))
    contents = contents_of(message)
    parts: dict[str, InflatableObject] = get_all_nested_objects(message)
    chunk = next(name for name, part in parts.items() if type(part).__name__ == "ArrayChunk")
    contents[chunk] = add_header_to_object_body(b"{}", ConfigRecord({}))
    with pytest.raises(ValueError, match="expected a chunk"):
        Arrays(contents)


def test_messages_are_handed_in_whole_and_what_they_share_once() -> None:
    """A model for two sites is pushed once; each message gets its id."""
    superlink = StubSuperLink()
    grid, content = BoundedGrid(StubGrid(superlink)), record(np.arange(5, dtype=np.float32))
    messages = [asked(content, FIRST_NODE), asked(content, FIRST_NODE + 1)]
    assert list(grid.push_messages(messages)) == ["m0", "m1"]
    assert superlink.objects == contents_of(messages[0]) | contents_of(messages[1])
    assert [m.metadata.dst_node_id for m in superlink.asked] == [FIRST_NODE, FIRST_NODE + 1]
    assert not any(m.content.ByteSize() for m in superlink.asked)
    assert list(grid.push_messages([])) == []


def test_what_is_too_large_to_be_announced_is_not_accepted() -> None:
    """As Flower's own grid says it; any other error is one."""
    superlink = StubSuperLink()
    grid = BoundedGrid(StubGrid(superlink))
    superlink.failure = too_large()
    assert list(grid.push_messages([asked(record())])) == []
    superlink.failure = OSError("cut")
    with pytest.raises(OSError, match="cut"):
        grid.push_messages([asked(record())])


def test_a_model_is_pushed_with_few_of_its_parts_in_memory() -> None:
    """Flower's own grid makes all of them before the first is sent."""

    class Forgetful(StubSuperLink):
        def PushObject(self, request: Any) -> Any:  # noqa: N802
            answer = super().PushObject(request)
            self.objects.clear()
            return answer

    content = record(np.arange(LARGE // 4, dtype=np.float32))
    grid = BoundedGrid(StubGrid(Forgetful()))
    tracemalloc.start()
    try:
        grid.push_messages([asked(content)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LARGE
    assert vector_bytes(LARGE // 4) > LARGE


def test_work_is_begun_a_few_at_a_time_and_ends_with_an_error() -> None:
    """In the order of what is given; after an error nothing more is begun."""
    begun, running, most = list[int](), 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            begun.append(number)
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        if number == 7:
            raise ValueError("seven")
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(in_turn(pool, work, ((n,) for n in range(7)))) == list(range(7))
        with pytest.raises(ValueError, match="seven"):
            list(in_turn(pool, work, ((n,) for n in range(7, 99))))
    assert most <= AT_ONCE
    assert max(begun) < 7 + AT_ONCE
