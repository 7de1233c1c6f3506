"""Flower's objects without more copies of a model in memory than one.

Flower's own grid deflates all objects of a message before it pushes the first, and puts an array
together out of copies of its parts. Here an object is made when it is its turn, and an array is
filled in while what it was made of is let go.

Source: Flower 1.41, `flwr.superlink.grid.http_grid.HttpGrid._try_push_messages` and
`flwr.app.Array.inflate`, whose private parts are used; tests/server/test_bounded_grid.py and
tests/server/test_flower_objects.py hold the contract.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from flwr.app import Array, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_body,
    get_object_head_values_from_object_content,
    get_object_tree,
    no_object_id_recompute,
)

from shared.flower_arrays import name_parts

AT_ONCE = 2  # requests under way: the next is made while the server works on this one
_ARRAY, _CHUNK = "Array", "ArrayChunk"
PushObject = Callable[[str, bytes], None]


def pushed(
    messages: Sequence[Message], push: Callable[[Any], Any], pushing: Callable[[str], PushObject]
) -> list[str]:
    """Ids of the messages, which are all handed in.

    Args:
        messages: Each gets its id.
        push: Hands in what is no content.
        pushing: Of the session that `push` was told; hands in one object.
    """
    with no_object_id_recompute():
        objects: dict[str, InflatableObject] = {}
        request = PushAppMessagesRequest()
        for message in messages:
            name_parts(message.content)
            message.metadata.__dict__["_message_id"] = message.object_id
            request.messages_list.append(message_to_proto(remove_content_from_message(message)))
            request.message_object_trees.append(get_object_tree(message))
            objects |= get_all_nested_objects(message)
        answer = push(request)
        wanted, push_object = set(answer.objects_to_push), pushing(answer.session_id)
        deflated = ((name, part.deflate()) for name, part in objects.items() if name in wanted)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in in_turn(pool, push_object, deflated):
                pass
    return list(answer.message_ids)


def in_turn(
    pool: ThreadPoolExecutor, work: Callable[..., Any], given: Iterator[tuple[Any, ...]]
) -> Iterator[Any]:
    """What `work` returns, in the order of what is given, a few of which are worked on at once.

    Nothing more is begun after an error; what was under way is waited for.
    """
    flying: deque[Future[Any]] = deque()
    try:
        for arguments in given:
            flying.append(pool.submit(work, *arguments))
            del arguments
            if len(flying) == AT_ONCE:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        for future in flying:
            future.exception()


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
        self._numbers: dict[bytes, bytearray] = {}
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


def _joined(contents: dict[str, bytes], chunks: list[str], uses: Counter[str]) -> bytearray:
    """What `chunks` hold; each is taken out of `contents` once no array needs it any more."""
    # Zeros that nobody has touched take no memory yet.
    data, start = bytearray(sum(_length(contents[chunk]) for chunk in chunks)), 0
    left = Counter(chunks)
    for chunk in chunks:
        content = contents[chunk]
        end = start + _length(content)
        data[start:end] = memoryview(content)[len(content) - (end - start) :]
        start, left[chunk] = end, left[chunk] - 1
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
