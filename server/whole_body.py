"""A large body of a request in one piece, as soon as the application asks for it.

uvicorn hands a body on in pieces, stops reading after each until the application has it, and every
piece is copied five times on its way through the parser. Here, from the moment at which the
application asks for the body of a request that has said how long it is, its bytes go to where they
stay. Nothing is kept that is not wanted: until then, and once nobody waits any more, all is as
before.

Source: uvicorn 0.49, `RequestResponseCycle`; h11 0.16, `ContentLengthReader`, whose private counter
is moved on; tests/server/test_whole_body.py holds the contract.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from h11 import Connection
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from server.limits import announced_length

SMALLEST, LARGEST = 1 << 16, 32 << 20  # bytes of a body that is received so


class WholeBody:
    """The body of one request.

    Args:
        parser: Of the connection.
        cycle: uvicorn's object for the request.
        resume: Go on reading from the socket.

    Attributes:
        awaited: Whether somebody waits for it, and not all has come.
    """

    def __init__(
        self, parser: Connection, cycle: RequestResponseCycle, resume: Callable[[], None]
    ) -> None:
        self._parser: Any = parser
        self._cycle: Any = cycle
        self._resume, self._in_parts = resume, cycle.receive
        self._content = BytesIO()
        self.awaited = False

    def offered(self) -> bool:
        """Whether the application will get it so: it is large, and as long as it says."""
        length = announced_length(self._cycle.scope)
        if length is None or not SMALLEST < length <= LARGEST:
            return False
        if not hasattr(self._parser._reader, "_remaining"):  # noqa: SLF001 - sent in chunks
            return False
        self._cycle.receive = self.receive
        return True

    def take(self, data: bytes) -> bytes:
        """Keep what belongs to the body; returns the rest."""
        reader = self._parser._reader  # noqa: SLF001
        part = data[: reader._remaining]  # noqa: SLF001 - itself, where all of it belongs here
        self._content.write(part)
        reader._remaining -= len(part)  # noqa: SLF001
        self.awaited = reader._remaining > 0  # noqa: SLF001
        return data[len(part) :]

    async def receive(self) -> Mapping[str, Any]:
        """What ASGI's `receive` gives: the whole body, then as uvicorn."""
        cycle = self._cycle
        if not cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return await self._in_parts()
        self._content.write(cycle.body)
        cycle.body, self.awaited = bytearray(), True
        self._resume()
        try:
            while cycle.more_body and not cycle.disconnected:
                cycle.message_event.clear()
                await cycle.message_event.wait()
        finally:
            # Whoever gave it up leaves the rest to the parser, which throws it away.
            self.awaited = False
        if cycle.disconnected:
            return {"type": "http.disconnect"}
        # Cost: the connection may be idle for long, and must not keep what it brought.
        content, self._content = self._content.getvalue(), BytesIO()
        return {"type": "http.request", "body": content, "more_body": False}
