"""Flower's HTTP grid, with replies bounded before they are put together and refused one by one.

Flower's own puts together whatever a node sent: one chunk of 5 MiB that an array names a thousand
times becomes 5 GiB, one object that cannot be read ends the run for all, and who answered what is
taken from the reply itself instead of from what the SuperLink checked. Here a reply is pulled
object by object up to the bytes that an honest one has, is counted before it is inflated, and what
is wrong with it becomes an error reply of that node alone. It is handed on before the next is
pulled, so that one reply at a time is in memory.

Source: Flower 1.41, `flwr.superlink.grid.http_grid.HttpGrid.pull_messages`, whose private parts are
used; tests/server/test_bounded_grid.py holds the contract.
"""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PushObjectRequest
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    inflate_object_from_contents,
)
from flwr.supercore.run import Run
from flwr.superlink.grid import HttpGrid
from google.protobuf.message import DecodeError

from server.flower_objects import AT_ONCE, PushObject, in_turn, pushed
from server.sizes import AROUND
from shared.downloads import in_one_piece
from shared.flower_arrays import Arrays, inflated_size
from shared.memory_use import let_go
from shared.object_transfer import Pushing
from shared.object_transfer import pull as pull_object

_LOGGER = logging.getLogger("murmura.server")
_SMALLEST_CHUNK = 1 << 18  # bytes; Flower's are twenty times as large
_PATIENCE_S = 300.0
_LARGE = 1 << 24  # bytes of a reply
_MOST_PARTS = 64  # objects of a reply besides chunks
_TOO_LARGE = httpx.codes.REQUEST_ENTITY_TOO_LARGE
# What Flower's code raises at objects of another form than its own.
_UNREADABLE = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError,
    DecodeError, AssertionError,
)  # fmt: skip


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A reply is not what an honest node sends."""


class _Arriving:
    """One reply whose objects are being pulled."""

    def __init__(self, message: ProtoMessage, tree: ObjectTree) -> None:
        self.message = message
        self._parts = list({part.object_id: None for part in iterate_object_tree(tree)})
        self.drop()

    def drop(self) -> None:
        """Nothing of it has come."""
        self.contents: dict[str, bytes] = {}
        self.missing = list(self._parts)
        self.size = 0


class BoundedGrid(Grid):
    """A grid over `HttpGrid`; bounds what it pulls, and hands on replies one at a time.

    Attributes:
        most_bytes: Of a reply to what was pushed last; set before replies are pulled.
    """

    def __init__(self, grid: HttpGrid) -> None:
        self._grid = grid
        # Flower's server gives a reply out once. A request that is given up after Flower's 30 s and
        # made again, on a machine with much to do, would find the replies gone.
        self._client._client.timeout = _PATIENCE_S  # noqa: SLF001
        in_one_piece(self._client._client)  # noqa: SLF001
        self._arriving: dict[str, _Arriving] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._pushed = 0  # bytes since the last look for what nobody needs any more
        self.most_bytes = AROUND

    def set_run(self, run: Run) -> None:
        """As Flower's."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """As Flower's."""
        return self._grid.run

    def create_message(self, *arguments: Any, **named: Any) -> Message:
        """As Flower's."""
        return self._grid.create_message(*arguments, **named)

    def get_node_ids(self) -> Iterable[int]:
        """As Flower's."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As Flower's: their ids; none where the request would be too large."""
        whole = list(messages)
        if not whole:
            return []

        run_id = self._grid.run.run_id

        def pushing(session_id: str) -> PushObject:
            def push(name: str, content: bytes) -> None:
                request = PushObjectRequest(
                    node=self._grid.node, run_id=run_id, object_id=name, session_id=session_id
                )
                if not self._client.PushObject(Pushing(request, content)).stored:
                    raise ObjectPushError(name, run_id, session_id)
                self._pushed += len(content)

            return push

        try:
            return pushed(whole, self._client.PushMessages, pushing)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _TOO_LARGE:
                raise
            return []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Never used: server/exchange.py hands each reply on at once."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """What has come of the replies to `message_ids`, each whole and bounded, or an error.

        A reply whose objects are not all there yet is asked again at the next call: whoever
        announces a reply and never sends it holds nobody up. What has come of it is dropped when
        somebody asks for other replies meanwhile.
        """
        wanted = list(message_ids)
        self._begin(wanted)
        for name in wanted:
            if (reply := self._arriving.get(name)) is None:
                continue
            try:
                whole = self._pull(reply)
                content = self._inflated(reply) if whole else None
            except _Refused as error:
                whole, content = True, Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason=str(error))
            if whole:
                del self._arriving[name]
                self._confirm(reply)
                yield _message(reply, content)
            large = reply.size >= _LARGE
            del reply, content  # before the next is pulled
            if whole and large:
                let_go()

    def _begin(self, wanted: list[str]) -> None:
        """Ask for what is new, and let go what nobody wants any more."""
        if self._pushed >= _LARGE:
            let_go()  # whoever pushed a model needs it no more
            self._pushed = 0
        for name in self._arriving.keys() - set(wanted):
            self._arriving[name].drop()
        if fresh := [name for name in wanted if name not in self._arriving]:
            self._ask(fresh)

    def _ask(self, message_ids: list[str]) -> None:
        try:
            found = self._client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _TOO_LARGE:
                raise
            _LOGGER.warning("more replies have come than Flower hands over at once")
            return
        for message, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            name = message.metadata.reply_to_message_id
            self._arriving[name] = _Arriving(message, tree)

    @property
    def _client(self) -> Any:
        return self._grid._runtime_client  # noqa: SLF001 - Flower has no other way

    def _pull(self, reply: _Arriving) -> bool:
        """Pull what is missing of `reply`; whether all of it is here now."""
        most = self.most_bytes + AROUND
        if len(reply.missing) + len(reply.contents) > _MOST_PARTS + most // _SMALLEST_CHUNK:
            raise _Refused(f"expected at most {_MOST_PARTS} objects and chunks, got more")
        asked: Any = partial(pull_object, self._client, "Runtime")
        pull = make_pull_object_fn_protobuf(
            pull_object_protobuf=asked,
            node=self._grid.node,
            run_id=self._grid.run.run_id,
        )
        # The reply itself comes last, and is asked for alone: as long as it is not there, the
        # rest need not be asked for.
        names = [(reply.missing[-1],), *((name,) for name in reversed(reply.missing[:-1]))]
        try:
            self._take(reply, pull(*names[0]), most)
            for content in in_turn(self._pool, pull, iter(names[1:])):
                self._take(reply, content, most)
        except ObjectUnavailableError:
            return False
        except ObjectPullError as error:
            raise _Refused("expected all objects of a reply, got it in part") from error
        return True

    @staticmethod
    def _take(reply: _Arriving, content: bytes, most: int) -> None:
        reply.contents[reply.missing.pop()] = content
        reply.size += len(content)
        if reply.size > most:
            raise _Refused(f"expected a reply of at most {most} bytes, got more")

    def _inflated(self, reply: _Arriving) -> RecordDict | Error:
        """Content or error of a reply that is all here."""
        most, contents = self.most_bytes + AROUND, reply.contents
        try:
            if (size := inflated_size(contents)) > most:
                raise _Refused(f"expected a reply of at most {most} bytes, got {size}")
            arrays = Arrays(contents)
            name = reply.message.metadata.message_id
            found = inflate_object_from_contents(name, contents, objects=arrays.objects)
        except _UNREADABLE as error:
            raise _Refused("expected a message of Flower's, got other objects") from error
        if not isinstance(found, Message):
            raise _Refused("expected a message, got another object")
        if found.has_error():
            return found.error
        arrays.fill(found.content)
        return found.content

    def _confirm(self, reply: _Arriving) -> None:
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._grid.node,
                run_id=self._grid.run.run_id,
                message_object_id=reply.message.metadata.message_id,
            )
        )


def bounded(grid: Grid) -> Grid:
    """`grid`, with bounds where it is Flower's over HTTP."""
    return BoundedGrid(grid) if isinstance(grid, HttpGrid) else grid


def _message(reply: _Arriving, content: RecordDict | Error | None) -> Message:
    # Guarantee: who answers what is what the SuperLink checked, not what the reply says of itself.
    metadata = metadata_from_proto(reply.message.metadata)
    if isinstance(content, Error):
        return make_message(metadata, error=content)
    return make_message(metadata, content=content)
