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
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from server.fleet_gate import ACTIVATE, FLEET_PATHS, FleetGate
from server.limits import (
    Allowance,
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
from server.peers import Peer
from server.refusals import Refused
from server.settings import Limits
from server.site_enrolment import LARGEST_REQUEST, Enrolment, Recorder, unrecorded
from server.sites import Sites

_LOGGER = logging.getLogger("murmura.server")
_BURST = 10.0
_STRANGER_RATE, _STRANGER_BURST = 2.0, 40.0  # requests to enrol, of one address
_ENROLMENTS_AT_ONCE = 4
_LARGE, _LARGE_AT_ONCE = 1 << 16, 2
# After these nothing more is wanted of the connection, or not all of the request was read.
_HANG_UP = {"certificate_refused", "too_large", "too_slow", "too_many_requests"}
_RECORDED_A_SECOND, _RECORDED_AT_ONCE = 1.0, 60.0
Changed = Callable[[], Awaitable[None]]


class PublicApi:
    """The application of the public port.

    Args:
        flower: Flower's whole application; it is shown what passes the gate.
        enrolment: Joins, renewals, roster.
        sites: Who is let in, as of now.
        gate: Looks at what goes to Flower.
        limits: What one site may take.
    """

    def __init__(
        self,
        flower: Callable[..., Awaitable[None]],
        enrolment: Enrolment,
        sites: Sites,
        gate: FleetGate,
        limits: Limits,
    ) -> None:
        self._flower, self._enrolment = flower, enrolment
        self._sites, self._gate = sites, gate
        rate = float(limits.requests_per_second)
        self._by_site = Allowances(rate, rate * _BURST)
        self._by_address = Allowances(_STRANGER_RATE, _STRANGER_BURST)
        self._enrolling = asyncio.Semaphore(_ENROLMENTS_AT_ONCE)
        self._large: dict[str, asyncio.Semaphore] = {}
        self._refusals = Allowance(_RECORDED_A_SECOND, _RECORDED_AT_ONCE)
        self._unrecorded = 0
        self.refused: dict[str, int] = {}
        self.record: Recorder = unrecorded
        self.changed: Changed | None = None
        self.returning: Callable[[str], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        peer: Peer | None = scope["state"].get(PEER)
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
            await respond(send, 200, {"status": "ok"})
        elif route == ("POST", "/enrol"):
            self._by_address.take(str((scope.get("client") or ("",))[0]))
            body = await read_body(scope, receive, LARGEST_REQUEST)
            await respond(send, 200, await self._in_turn(self._enrolment.enrol, body))
        elif peer is not None and self._known(*route):
            await self._of_site(peer, route, scope, receive, send)
        else:
            await respond(send, 404, None)

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
            await respond(send, 200, await asyncio.to_thread(self._enrolment.roster))
        elif route == ("POST", "/renew"):
            body = await read_body(scope, receive, LARGEST_REQUEST)
            await respond(send, 200, await self._in_turn(self._enrolment.renew, site.name, body))
        else:
            body = await self._fleet_body(site.name, scope, receive)
            self._gate.check(site, scope, body)
            if route[1] == ACTIVATE and self.returning is not None:
                await asyncio.to_thread(self.returning, site.node_key)
            forwarded = {**scope, "state": {}}
            await self._flower(forwarded, replayed(body, receive), send)

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
        # Cost: strangers must not be able to fill the disk with what was refused to them.
        if not self._refusals.take():
            self._unrecorded += 1
            return
        self.record(
            "refused",
            path=scope["path"],
            code=refusal.code,
            site=peer.name if peer else None,
            address=str((scope.get("client") or ("",))[0]),
            unrecorded_before=self._unrecorded,
        )
        self._unrecorded = 0


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
