"""Flower's objects are handed in without more copies of a model in memory than one.

Flower's own grid deflates all objects of a message before it pushes the first. Here an object is
made when it is its turn.

Source: Flower 1.41, `flwr.superlink.grid.http_grid.HttpGrid._try_push_messages`, whose private
parts are used; tests/server/test_bounded_grid.py and tests/server/test_flower_objects.py hold the
contract.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)

from shared.flower_arrays import name_parts

AT_ONCE = 2  # requests under way: the next is made while the server works on this one
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
