"""Accepts connections for an ASGI application: bounded, and each with its peer's certificate.

uvicorn speaks HTTP; what it leaves open is done here: how many may wait in a handshake and how
long, who the peer is, and that a connection can be closed when its site is revoked.
"""

import asyncio
import itertools
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.peers import Connections, peer_of
from server.settings import address_of
from server.whole_body import WholeBody

_LOGGER = logging.getLogger("murmura.server")
HANDSHAKE_S, NEWCOMER_S, IDLE_S = 10.0, 30.0, 75.0
STOP_S = 2.0
_FULL_S = 0.02
_LONGEST_HEAD = 1 << 16
_BACKLOG = 512
# Cost: asyncio holds a buffer of this size for each encrypted connection. Its own, of 256 KiB, came
# to most of the memory where hundreds of sites were connected.
_READ_AT_ONCE = 1 << 16
PEER = "murmura.peer"
Application = Callable[..., Any]
Admit = Callable[[socket.socket], bool]


def tls_context(certificate: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.3 alone; a client may show a certificate, and then it must be of `authority`.

    Args:
        certificate: Key and chain of the server, in one file.
        authority: Certificate of the authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    # Guarantee: each connection proves its key; none resumes what another has proved.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def bound(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets on all `addresses`, at one port; port 0 takes one that is free on all.

    An address family that this machine does not have is left out, if another is left.
    """
    found: list[socket.socket] = []
    for address in addresses:
        parsed = address_of(address)
        family = socket.AF_INET6 if parsed and parsed.version == 6 else socket.AF_INET
        try:
            # The protocol is named, since asyncio sends small answers at once only where it is.
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError:
            continue
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind((address, found[0].getsockname()[1] if found and not port else port))
        except OSError:
            listener.close()
            for other in found:
                other.close()
            raise
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        found.append(listener)
    return found


class Listener:
    """Serves one application on one port.

    Args:
        app: The application; `scope["state"]` holds the peer under `PEER`.
        context: TLS; None: none, for loopback.
        connections: Counts and closes them; None: unbounded.
        admit: Looked at before a byte is read; a connection that it refuses is closed.
    """

    def __init__(
        self,
        app: Application,
        *,
        context: ssl.SSLContext | None = None,
        connections: Connections | None = None,
        admit: Admit = lambda _accepted: True,
    ) -> None:
        self._config = Config(
            app,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
            timeout_keep_alive=int(IDLE_S),
        )
        self._config.load()
        self._state = ServerState()
        self._context = context
        if context is not None:
            SSLProtocol.max_size = _READ_AT_ONCE
        self._connections = connections or Connections(1 << 30, 1 << 30)
        self._admit = admit
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._keys = itertools.count()

    def start(self, sockets: Sequence[socket.socket]) -> list[asyncio.Task[None]]:
        """Accept on `sockets` from now on; returns what ends only if that fails."""
        self._sockets = list(sockets)
        return [self._spawn(self._accept(listener)) for listener in self._sockets]

    async def stop(self) -> None:
        """Accept no more; requests under way have `STOP_S` to end."""
        for task in list(self._tasks):
            task.cancel()
        for listener in self._sockets:
            listener.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=STOP_S)
        for task in list(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._connections.room():
                await asyncio.sleep(_FULL_S)
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                # No descriptor is left, or the peer is gone already.
                _LOGGER.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(0.1)
                continue
            if not self._admit(accepted):
                accepted.close()
                continue
            self._greet(accepted)
            # Many may be waiting; what they need is done between them, not after them.
            await asyncio.sleep(0)

    def _greet(self, accepted: socket.socket) -> None:
        key = next(self._keys)
        protocol = _Connection(self._config, self._state, self._connections, key)
        task = self._spawn(self._handshake(accepted, protocol))

        def close() -> None:
            task.cancel()
            if protocol.transport is not None:
                protocol.transport.abort()

        def failed(_ended: asyncio.Task[None]) -> None:
            # Also where it was given up before it began.
            if protocol.transport is None:
                self._connections.leave(key, None)
                accepted.close()

        task.add_done_callback(failed)
        self._connections.arrive(key, close)

    async def _handshake(self, accepted: socket.socket, protocol: "_Connection") -> None:
        encrypted = {"ssl_handshake_timeout": HANDSHAKE_S} if self._context else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, accepted, ssl=self._context, **encrypted
            )
        except OSError as error:  # every ssl.SSLError is one
            _LOGGER.info("a handshake failed: %s", type(error).__name__)


class _Connection(H11Protocol):
    """A connection that knows its peer."""

    def __init__(
        self, config: Config, state: ServerState, connections: Connections, key: int
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._book = connections
        self._key = key
        self._site: str | None = None
        self._end: asyncio.TimerHandle | None = None
        self._body: WholeBody | None = None

    def handle_events(self) -> None:
        """As uvicorn's; a large body is received past the parser, once somebody waits for it."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            whole = WholeBody(self.conn, self.cycle, self.flow.resume_reading)
            self._body = whole if whole.offered() else None

    def data_received(self, data: bytes) -> None:
        """What the body under way does not take is for the parser."""
        if self._body is None or not self._body.awaited:
            super().data_received(data)
            return
        rest = self._body.take(data)
        if rest:
            super().data_received(rest)
        elif not self._body.awaited:
            self.handle_events()  # says that the body has ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object")
        peer = peer_of(shown.getpeercert(binary_form=True)) if shown is not None else None
        self.app_state = {PEER: peer}
        if peer is not None:
            self._site = peer.name
            self._book.certified(self._key, peer.name, transport.abort, self._busy)
        elif shown is not None:
            self._end = self.loop.call_later(NEWCOMER_S, transport.abort)

    def _busy(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        unanswered = cycle is not None and not cycle.response_complete
        return unanswered or bool(self.transport.get_write_buffer_size())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        self._book.leave(self._key, self._site)
        super().connection_lost(exc)
