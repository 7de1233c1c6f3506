"""The most frequent requests, without the layers that Flower puts around every one.

A model is some twenty objects for each site and round, and of what handing one over costs most is
FastAPI and Flower's middleware. Here the requests that carry objects, and signs of life, are
answered by Flower's own checks and handlers, called one after the other in one thread. Whatever
these refuse goes to Flower's whole application, which looks at it anew and says why not.

An object is neither copied out of the request that brings it nor into the answer that takes it:
Flower's handlers see a stand-in of its length.

Source: Flower 1.41, routers of its Fleet and Runtime API, whose private parts are used;
tests/server/test_short_way.py holds the contract.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.dependencies.task import authenticate_task
from flwr.supercore.dependencies.version import VersionDependency
from flwr.supercore.error import FlowerError
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers
from google.protobuf.message import DecodeError
from sqlalchemy.exc import SQLAlchemyError

from server.limits import Receive, Scope, Send, replayed
from server.sealed_objects import SealedObjectStore
from shared.errors import MessageError
from shared.large_field import apart, heading
from shared.object_transfer import PULLED, PUSHED

_VERSION = VersionDependency(component_name="SuperLink", connection_name="Runtime API")
_ROUTES: Mapping[str, tuple[type[Any], Callable[..., Any]]] = {
    "/v1/fleet/push-object": (PushObjectRequest, fleet_handlers.push_object),
    "/v1/fleet/pull-object": (PullObjectRequest, fleet_handlers.pull_object),
    "/v1/fleet/send-node-heartbeat": (SendNodeHeartbeatRequest, fleet_handlers.send_node_heartbeat),
    "/v1/runtime/push-object": (PushObjectRequest, runtime_handlers.push_object),
    "/v1/runtime/pull-object": (PullObjectRequest, runtime_handlers.pull_object),
}
_FLEET = "/v1/fleet/"
_AT_ONCE = 1 << 18  # bytes
_TYPE = (b"content-type", PROTOBUF_MEDIA_TYPE.encode())


_FOUND = PullObjectResponse(object_found=True, object_available=True).SerializeToString()
# What Flower's application makes an answer of.
_NOT_HERE = (FlowerError, HTTPException, DecodeError, MessageError, SQLAlchemyError)


class ShortWay:
    """Flower's application, with a short way for what is asked most often.

    Args:
        flower: The whole of it.
        store: Its objects.
    """

    def __init__(self, flower: FastAPI, store: SealedObjectStore) -> None:
        self._flower: Any = flower
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not _is_short(scope):
            await self._flower(scope, receive, send)
            return
        body = await _body(receive)
        try:
            answer = await asyncio.to_thread(self._answered, scope, body)
        except _NOT_HERE:
            # It raised before it changed anything: handlers check first.
            await self._flower(scope, replayed(body, receive), send)
            return
        headers = [_TYPE, (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        view = memoryview(answer)
        # Cost: whole, it would lie in four buffers until the last byte has left.
        for start in range(0, len(view) or 1, _AT_ONCE):
            end = start + _AT_ONCE
            event = {"body": view[start:end], "more_body": end < len(view)}
            await send({"type": "http.response.body", **event})

    def _answered(self, scope: Scope, body: bytes) -> bytes:
        kind, handle = _ROUTES[scope["path"]]
        asked = _Pushed.of(body) if kind is PushObjectRequest else kind.FromString(body)
        state: Any = self._flower.state.linkstate_factory.state()
        seen = _Looked(state, self._store) if kind is PullObjectRequest else state
        request = Request({**scope, "app": self._flower, "state": {"protobuf_request": asked}})
        # Guarantee: what Flower asks on these routes of whoever asks, by its own functions.
        if scope["path"].startswith(_FLEET):
            authenticate_node(request)
            answer = handle(request=asked, state=seen)
        else:
            _VERSION(request)
            task = authenticate_task(request, request.headers.get(TASK_TOKEN_HEADER), state)
            answer = handle(asked, seen, task)
        if isinstance(seen, _Looked) and seen.answer:
            return seen.answer
        return bytes(answer.SerializeToString())


@dataclass(frozen=True, slots=True)
class _Pushed:
    """A `PushObjectRequest` whose content is where it was received."""

    node: Any
    run_id: int
    object_id: str
    session_id: str
    object_content: memoryview = field(repr=False)

    @classmethod
    def of(cls, body: bytes) -> "_Pushed":
        """Raises MessageError, DecodeError."""
        rest, content = apart(body, PUSHED)
        asked = PushObjectRequest.FromString(rest)
        return cls(asked.node, asked.run_id, asked.object_id, asked.session_id, content)


class _Looked:
    """Flower's state for one `pull-object`; keeps the whole answer, and hands on a stand-in.

    Attributes:
        answer: What is to be sent; empty where the object is not there.
    """

    def __init__(self, state: Any, store: SealedObjectStore) -> None:
        self._state, self._store = state, store
        self.answer = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_object(self, run_id: int, object_id: str) -> bytes | None:
        """As Flower's, which says so where an object is not there."""
        length = 0

        def before(found: int) -> bytes:
            nonlocal length
            length = found
            return heading(_FOUND, PULLED, found)

        answer = self._store.get_behind(object_id, before)
        if not answer:
            found: bytes | None = self._state.get_object(run_id, object_id)
            return found
        self.answer = answer
        return _StandIn(length)


class _StandIn(bytes):
    """As long as an object, for whoever counts bytes; one byte for whoever copies them."""

    _length: int

    def __new__(cls, length: int) -> "_StandIn":
        made = super().__new__(cls, b"\0")
        made._length = length
        return made

    def __len__(self) -> int:
        return self._length


def _is_short(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and scope["path"] in _ROUTES
        and [value for name, value in scope["headers"] if name == _TYPE[0]] == [_TYPE[1]]
    )


async def _body(receive: Receive) -> bytes:
    """All of it; who reads it for sites has counted it before."""
    parts, more = list[bytes](), True
    while more:
        event = await receive()
        more = event["type"] == "http.request" and event.get("more_body", False)
        parts.append(event.get("body", b""))
    return parts[0] if len(parts) == 1 else b"".join(parts)
