"""The most frequent requests, without the layers that Flower puts around every one.

A model is some twenty objects for each site and round, and of what handing one over costs most is
FastAPI and Flower's middleware. Here the requests that carry objects, and signs of life, are
answered by Flower's own checks and handlers, called one after the other in one thread. Whatever
these refuse goes to Flower's whole application, which looks at it anew and says why not.

Source: Flower 1.41, routers of its Fleet and Runtime API, whose private parts are used;
tests/server/test_short_way.py holds the contract.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest
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

_VERSION = VersionDependency(component_name="SuperLink", connection_name="Runtime API")
_ROUTES: Mapping[str, tuple[type[Any], Callable[..., Any]]] = {
    "/v1/fleet/push-object": (PushObjectRequest, fleet_handlers.push_object),
    "/v1/fleet/pull-object": (PullObjectRequest, fleet_handlers.pull_object),
    "/v1/fleet/send-node-heartbeat": (SendNodeHeartbeatRequest, fleet_handlers.send_node_heartbeat),
    "/v1/runtime/push-object": (PushObjectRequest, runtime_handlers.push_object),
    "/v1/runtime/pull-object": (PullObjectRequest, runtime_handlers.pull_object),
}
_FLEET = "/v1/fleet/"
_TYPE = (b"content-type", PROTOBUF_MEDIA_TYPE.encode())
# What Flower's application makes an answer of.
_NOT_HERE = (FlowerError, HTTPException, DecodeError, SQLAlchemyError)


class ShortWay:
    """Flower's application, with a short way for what is asked most often.

    Args:
        flower: The whole of it.
    """

    def __init__(self, flower: FastAPI) -> None:
        self._flower: Any = flower

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
        await send({"type": "http.response.body", "body": answer})

    def _answered(self, scope: Scope, body: bytes) -> bytes:
        kind, handle = _ROUTES[scope["path"]]
        asked = kind.FromString(body)
        state = self._flower.state.linkstate_factory.state()
        request = Request({**scope, "app": self._flower, "state": {"protobuf_request": asked}})
        # Guarantee: what Flower asks on these routes of whoever asks, by its own functions.
        if scope["path"].startswith(_FLEET):
            authenticate_node(request)
            answer = handle(request=asked, state=state)
        else:
            _VERSION(request)
            task = authenticate_task(request, request.headers.get(TASK_TOKEN_HEADER), state)
            answer = handle(asked, state, task)
        return bytes(answer.SerializeToString())


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
