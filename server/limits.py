"""What one peer may ask of the server: so many requests, so many bytes, so much time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from server.refusals import Refused

BODY_S = 120.0
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_MOST_KEPT = 4096


class Disconnected(Exception):  # noqa: N818 - what happened
    """The peer is gone; nobody waits for an answer."""


class Allowance:
    """At most `burst` at once and `rate` a second in the long run.

    Args:
        rate: Units a second.
        burst: Units that may be taken at once.
        clock: Seconds, never going back.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = burst, clock()

    def take(self, amount: float = 1.0) -> bool:
        """Whether `amount` is left; it is taken then."""
        now = self._clock()
        self._left = min(self._burst, self._left + self._rate * (now - self._at))
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Allowances:
    """One allowance for each key; of very many keys the oldest starts anew."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._known: dict[str, Allowance] = {}

    def take(self, key: str) -> None:
        """Raise Refused (too_many_requests) unless `key` may ask once more."""
        if key not in self._known:
            while len(self._known) >= _MOST_KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = Allowance(self._rate, self._burst)
        if not self._known[key].take():
            raise Refused("too_many_requests", f"expected at most {self._rate:g} a second")


def header_values(scope: Mapping[str, Any], name: bytes) -> list[bytes]:
    """All values of one header."""
    return [value for key, value in scope["headers"] if key == name]


def announced_length(scope: Scope) -> int | None:
    """The length that the request says it has; None: it does not say."""
    values = header_values(scope, b"content-length")
    return int(values[0]) if len(values) == 1 and values[0].isdigit() else None


async def read_body(scope: Scope, receive: Receive, largest: int) -> bytes:
    """The whole body of a request, of at most `largest` bytes.

    Raises:
        Refused: too_large, before it is read where the request says so; too_slow.
        Disconnected: the peer went away.
    """
    length = announced_length(scope)
    if length is not None and length > largest:
        raise Refused("too_large", f"expected at most {largest} bytes")
    body, last = bytearray(), b""
    try:
        async with asyncio.timeout(BODY_S):
            more = True
            while more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise Disconnected
                body += last
                last, more = event.get("body", b""), event.get("more_body", False)
                if len(body) + len(last) > largest:
                    raise Refused("too_large", f"expected at most {largest} bytes")
    except TimeoutError as error:
        raise Refused("too_slow", f"expected the request within {BODY_S:g} s") from error
    return bytes(body) + last if body else last


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first and then goes on as the connection does."""
    waiting = [body]

    async def again() -> Mapping[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
