"""A large body comes in one piece, whoever sends it and however; what nobody wants is not kept."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.limits import Disconnected, read_body
from server.listener import Listener, bound
from server.refusals import Refused
from server.whole_body import LARGEST, SMALLEST, WholeBody

BODY = bytes(range(256)) * 1500  # 375 KiB
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class App:
    """Keeps what it received; answers "kept".

    Attributes:
        events: Of the request under way, as `receive` gave them.
        bodies: Whole.
        give_up_s: How long it waits for a body.
    """

    def __init__(self) -> None:
        self.events: list[int] = []
        self.bodies: list[bytes] = []
        self.give_up_s = 20.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def noted() -> Any:
            event = await receive()
            self.events.append(len(event.get("body", b"")))
            return event

        try:
            if scope["path"] != "/unread":
                async with asyncio.timeout(self.give_up_s):
                    self.bodies.append(await read_body(scope, noted, LARGEST))
        except (TimeoutError, Refused, Disconnected) as error:
            self.bodies.append(type(error).__name__.encode())
        await send({"type": "http.response.start", "status": 200, "headers": LENGTH})
        await send({"type": "http.response.body", "body": b"kept"})


LENGTH = [(b"content-length", b"4")]


def talked(app: App, talk: Talk) -> None:
    """`talk` over one connection to a listener on loopback."""

    async def whole() -> None:
        listener, sockets = Listener(app), bound(("127.0.0.1",), 0)
        listener.start(sockets)
        reader, writer = await asyncio.open_connection(*sockets[0].getsockname()[:2])
        try:
            async with asyncio.timeout(60):
                await talk(reader, writer)
        finally:
            writer.close()
            await listener.stop()

    asyncio.run(whole())


def head(length: int, path: str = "/", more: str = "") -> bytes:
    """Of a request."""
    return f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n{more}\r\n".encode()


async def answered(reader: asyncio.StreamReader) -> None:
    """The answer has come."""
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(4) == b"kept"


def test_a_large_body_comes_in_one_piece() -> None:
    """However it is cut on its way, and twice over one connection, the second sent at once."""
    app = App()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = head(len(BODY)) + BODY
        for start in range(0, len(request), 50_001):
            writer.write(request[start : start + 50_001])
            await writer.drain()
            await asyncio.sleep(0.002)
        await answered(reader)
        writer.write(request + request)
        await answered(reader)
        await answered(reader)

    talked(app, talk)
    assert app.bodies == [BODY] * 3
    assert app.events == [len(BODY)] * 3


def test_a_connection_keeps_nothing_of_what_it_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be idle for long."""
    app, made = App(), list[WholeBody]()
    offered = WholeBody.offered

    def noted(self: WholeBody) -> bool:
        made.append(self)
        return offered(self)

    monkeypatch.setattr(WholeBody, "offered", noted)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(BODY)) + BODY)
        await answered(reader)
        assert [body._content.getvalue() for body in made] == [b""]

    talked(app, talk)
    assert app.bodies == [BODY]


def test_a_small_body_and_one_without_a_length_come_as_ever() -> None:
    """Nothing is different for them."""
    app = App()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(SMALLEST) + BODY[:SMALLEST])
        await answered(reader)
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n")
        await answered(reader)

    talked(app, talk)
    assert app.bodies == [BODY[:SMALLEST], BODY]


def test_a_body_that_is_too_large_is_never_received_so() -> None:
    """It is refused by its length, and not read on."""
    app = App()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(LARGEST + 1) + BODY)
        await answered(reader)

    talked(app, talk)
    assert (app.bodies, app.events) == ([b"Refused"], [])


def test_what_nobody_asks_for_is_not_kept() -> None:
    """The application answers without it; the next request is answered too."""
    app = App()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(BODY), "/unread") + BODY)
        await answered(reader)
        writer.write(head(3) + b"abc")
        await answered(reader)

    talked(app, talk)
    assert app.bodies == [b"abc"]


@pytest.mark.parametrize("sent", [0, 100_000])
def test_whoever_goes_away_in_the_middle_is_gone(sent: int) -> None:
    """The application is told, and gets no part of a body for a whole one."""
    app = App()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(BODY)) + BODY[:sent])
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        while not app.bodies:
            await asyncio.sleep(0.01)

    talked(app, talk)
    assert app.bodies == [b"Disconnected"]


def test_what_is_given_up_is_thrown_away() -> None:
    """The application waits no longer: the rest is no part of what comes next."""
    app = App()
    app.give_up_s = 0.1

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(BODY)) + BODY[:100_000])
        await answered(reader)
        app.give_up_s = 20.0
        writer.write(BODY[100_000:] + head(3) + b"abc")
        await answered(reader)

    talked(app, talk)
    assert app.bodies == [b"TimeoutError", b"abc"]


def test_whoever_waits_to_be_asked_for_the_body_is_asked() -> None:
    """As uvicorn does it: `100 Continue` comes first."""
    app = App()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(BODY), more="expect: 100-continue\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(BODY)
        await answered(reader)

    talked(app, talk)
    assert app.bodies == [BODY]
