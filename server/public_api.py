"""The one public port: what a stranger may ask, what a site may ask, and nothing else.

| who | may ask |
|---|---|
| anybody | `GET /health`, `POST /enrol` |
| a site whose certificate counts | `POST /renew`, `GET /roster`, `/v1/fleet/*` as its own node |

Everything else is answered 404, whoever asks: Flower's other interfaces are not here.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Any, Protocol

from server.admission import LARGEST_REQUEST, Admission
from server.fleet_gate import ACTIVATE, FLEET_PATHS, PULL_MESSAGES, PUSH_MESSAGES, FleetGate
from server.limits import (
    Allowances,
    Disconnected,
    Receive,
    Scope,
    Send,
    announced_length,
    read_body,
    replayed,
)
from server.listener import PEER
from server.mailbox import Mailbox
from server.peers import Peer
from server.recorder import Recorder, unrecorded
from server.refusals import Refused
from server.settings import Limits
from server.sites import Sites
from server.superlink import reply_of_push
from shared.errors import FederationError

_LOGGER = logging.getLogger("murmura.server")
_BURST = 10.0
_STRANGER_RATE, _STRANGER_BURST = 20.0, 200.0  # requests to enrol, of one address
_ENROLMENTS_AT_ONCE, _AT_FLOWER = 4, 6
_LARGE, _LARGE_AT_ONCE = 1 << 16, 2
_OK = 200
# After these nothing more is wanted of the connection, or not all of the request was read.
_HANG_UP = {"certificate_refused", "too_large", "too_slow", "too_many_requests"}
# What a site's doctor compares; who wants to know a server's version finds it out in other ways.
_SOFTWARE = {name: metadata.version(name) for name in ("murmura", "flwr")}
Changed = Callable[[], Awaitable[None]]


class Nodes(Protocol):
    """What Flower must be told beside the requests themselves."""

    def returning(self, node_key: str) -> None:
        """A site starts anew."""

    def answered(self, node_key: str) -> None:
        """A site has announced a reply."""

    def unseen(self, answer: bytes) -> None:
        """An answer with messages is for a connection that its site has given up."""


class PublicApi:
    """The application of the public port.

    Args:
        flower: Flower's whole application; it is shown what passes the gate.
        admission: Joins, renewals, roster.
        sites: Who is let in, as of now.
        gate: Looks at what goes to Flower.
        mailbox: Knows for whom there are messages.
        limits: What one site may take.
    """

    def __init__(
        self,
        flower: Callable[..., Awaitable[None]],
        admission: Admission,
        sites: Sites,
        gate: FleetGate,
        mailbox: Mailbox,
        limits: Limits,
    ) -> None:
        self._flower, self._admission = flower, admission
        self._sites, self._gate, self._mailbox = sites, gate, mailbox
        rate = float(limits.requests_per_second)
        self._by_site = Allowances(rate, rate * _BURST)
        self._by_address = Allowances(_STRANGER_RATE, _STRANGER_BURST)
        self._enrolling = asyncio.Semaphore(_ENROLMENTS_AT_ONCE)
        self._at_flower = asyncio.Semaphore(_AT_FLOWER)
        self._large: dict[str, asyncio.Semaphore] = {}
        self._starts: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.traffic = {"in": 0, "out": 0}
        self.record: Recorder = unrecorded
        self.changed: Changed | None = None
        self.nodes: Nodes | None = None
        self.heard: Callable[[str], None] = lambda _node_key: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        peer: Peer | None = scope["state"].get(PEER)
        receive, send = self._counted(receive, send)
        try:
            await self._answer(peer, scope, receive, send)
        except Refused as refusal:
            self._note(refusal, peer, scope)
            content = {"error": refusal.code, "text": refusal.text}
            await respond(send, refusal.status, content, close=refusal.code in _HANG_UP)
        except Disconnected:
            return

    async def _answer(self, peer: Peer | None, scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/health"):
            await respond(send, 200, {"status": "ok", **_SOFTWARE, "time": time.time()})
        elif route == ("POST", "/enrol"):
            self._by_address.take(str((scope.get("client") or ("",))[0]))
            body = await read_body(scope, receive, LARGEST_REQUEST)
            await respond(send, 200, await self._in_turn(self._admission.enrol, body))
        elif peer is not None and self._known(*route):
            await self._of_site(peer, route, scope, receive, send)
        else:
            await respond(send, 404, None)

    def _counted(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """The same, with the bytes of bodies counted."""

        async def received() -> Mapping[str, Any]:
            event = await receive()
            self.traffic["in"] += len(event.get("body", b""))
            return event

        async def sent(event: dict[str, Any]) -> None:
            self.traffic["out"] += len(event.get("body", b""))
            await send(event)

        return received, sent

    @staticmethod
    def _known(method: str, path: str) -> bool:
        if method == "POST":
            return path in FLEET_PATHS or path == "/renew"
        return (method, path) == ("GET", "/roster")

    async def _of_site(
        self, peer: Peer, route: tuple[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        # Guarantee: asked anew for each request, so that a revoked site is out at once.
        site = self._sites.admitted(peer.name, peer.serial)
        if site is None:
            raise Refused("certificate_refused", "expected a certificate that counts")
        self._by_site.take(site.name)
        if route == ("GET", "/roster"):
            await respond(send, 200, await asyncio.to_thread(self._admission.roster))
        elif route == ("POST", "/renew"):
            body = await read_body(scope, receive, LARGEST_REQUEST)
            await respond(send, 200, await self._in_turn(self._admission.renew, site.name, body))
        else:
            body = await self._fleet_body(site.name, scope, receive)
            self._gate.check(site, scope, body)
            start = self._starts.get(site.node_key, 0)
            self.heard(site.node_key)
            if route[1] == PULL_MESSAGES and not await self._mailbox.wait(site.node_key):
                await respond_protobuf(send, b"")  # Flower's answer without a message
                return
            answer = await self._of_flower(site.node_key, scope, replayed(body, receive))
            if route[1] == PULL_MESSAGES and start != self._starts.get(site.node_key, 0):
                await self._take_back(answer)
                await respond_protobuf(send, b"")
                return
            for event in answer:
                await send(event)
            if route[1] == PUSH_MESSAGES and self.nodes is not None:
                await asyncio.to_thread(self._note_reply, site.name, body)

    async def _of_flower(
        self, node_key: str, scope: Scope, receive: Receive
    ) -> list[dict[str, Any]]:
        """What Flower sends; whole, so that whoever reads slowly keeps nobody from his turn."""
        answer: list[dict[str, Any]] = []

        async def keep(event: dict[str, Any]) -> None:
            answer.append(event)

        # Of many at once each would wait for the database until it gave up, those of the
        # machine's own processes too.
        async with self._at_flower:
            if scope["path"] == ACTIVATE and self.nodes is not None:
                self._starts[node_key] = self._starts.get(node_key, 0) + 1
                await asyncio.to_thread(self.nodes.returning, node_key)
            await self._flower({**scope, "state": {}}, receive, keep)
            if scope["path"] == PUSH_MESSAGES and self.nodes is not None:
                await asyncio.to_thread(self.nodes.answered, node_key)
        return answer

    async def _take_back(self, answer: list[dict[str, Any]]) -> None:
        """The site has come anew since it asked for messages: these are for a broken connection."""
        if self.nodes is not None and answer[0]["status"] == _OK:
            body = b"".join(event.get("body", b"") for event in answer)
            await asyncio.to_thread(self.nodes.unseen, body)

    async def _fleet_body(self, name: str, scope: Scope, receive: Receive) -> bytes:
        largest = self._gate.largest_body(scope["path"])
        length = announced_length(scope)
        if length is not None and length <= _LARGE:
            return await read_body(scope, receive, largest)
        # Cost: of each site the server holds two large requests at a time.
        turn = self._large.setdefault(name, asyncio.Semaphore(_LARGE_AT_ONCE))
        async with turn:
            return await read_body(scope, receive, largest)

    async def _in_turn(self, work: Callable[..., Mapping[str, Any]], *given: Any) -> Any:
        """Signing is work for a thread; what it changed is carried out before it is answered."""
        async with self._enrolling:
            content = await asyncio.to_thread(work, *given)
        if self.changed is not None:
            await self.changed()
        return content

    def _note(self, refusal: Refused, peer: Peer | None, scope: Scope) -> None:
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        _LOGGER.info("refused %s: %s", scope["path"], refusal)
        of_whom = {"site": peer.name, "serial": peer.serial} if peer else _address(scope)
        kind = scope["path"].rpartition("/")[2].replace("-", "_")
        # Cost: `record` bounds them; strangers must not be able to fill the disk.
        self._keep("refused", reason=refusal.code, kind=kind, **of_whom)

    def _note_reply(self, name: str, body: bytes) -> None:
        reply = reply_of_push(body)
        if reply is not None:
            self._keep("arrived", site=name, **reply)

    def _keep(self, event: str, /, **detail: str | int) -> None:
        """Record what has happened already, so that nothing can be kept from happening."""
        try:
            self.record(event, **detail)
        except FederationError as error:
            _LOGGER.error("the audit log lacks one entry (%s): %s", event, error)


def _address(scope: Scope) -> dict[str, str]:
    """Where a stranger comes from, if that is known."""
    client = scope.get("client")
    # An IPv6 address of this link alone has the name of an interface behind it.
    return {"address": str(client[0]).partition("%")[0]} if client else {}


async def respond_protobuf(send: Send, body: bytes) -> None:
    """Send one answer in Flower's form."""
    headers = [
        (b"content-type", b"application/protobuf"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond(
    send: Send, status: int, content: Mapping[str, Any] | None, *, close: bool = False
) -> None:
    """Send one answer of JSON, or an empty one."""
    body = b"" if content is None else json.dumps(content).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    if content is not None:
        headers.append((b"content-type", b"application/json"))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
