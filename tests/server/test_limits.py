"""Limits: what is too much, too fast or too slow is refused, and by its own code."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import limits
from server.limits import Allowance, Allowances, Disconnected, read_body, replayed
from server.refusals import Refused
from tests.server.asgi import receiving, scope_of


@given(
    rate=st.floats(0.1, 100.0),
    burst=st.floats(1.0, 50.0),
    waits=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80),
)
def test_no_more_is_taken_than_burst_and_rate_allow(
    rate: float, burst: float, waits: list[float]
) -> None:
    """At every moment, whatever came before."""
    now = 0.0
    allowance = Allowance(rate, burst, lambda: now)
    taken = 0
    for wait in waits:
        now += wait
        taken += allowance.take()
        assert taken <= burst + rate * now + 1e-6


def test_what_was_not_used_does_not_add_up_for_ever() -> None:
    """After an hour of silence no more than the burst."""
    now = 0.0
    allowance = Allowance(10.0, 3.0, lambda: now)
    now = 3600.0
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    now += 0.2
    assert allowance.take()


def test_each_key_has_its_own_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """And very many keys take no more room than `_MOST_KEPT`."""
    monkeypatch.setattr(limits, "_MOST_KEPT", 3)
    allowances = Allowances(0.001, 1.0)
    allowances.take("a")
    allowances.take("b")
    with pytest.raises(Refused, match="too_many_requests"):
        allowances.take("a")
    for key in "cdef":
        allowances.take(key)
    assert len(allowances._known) == 3


def body(*parts: bytes, largest: int = 10, length: bytes | None = None) -> bytes:
    """What `read_body` makes of a request."""
    headers = [(b"content-length", length)] if length is not None else []
    return asyncio.run(read_body(scope_of("POST", "/", headers), receiving(*parts), largest))


def test_a_body_is_read_whole() -> None:
    """In however many parts."""
    assert body(b"ab", b"", b"cd") == b"abcd"
    assert body(b"x" * 10, length=b"10") == b"x" * 10


@pytest.mark.parametrize(
    ("parts", "length"),
    [
        ((b"x" * 11,), None),
        ((b"x" * 6, b"x" * 6), None),
        ((b"x",), b"11"),
        ((b"x" * 11,), b"5"),
        ((b"x" * 11,), b"-1"),
    ],
)
def test_a_body_that_is_too_large_is_refused(
    parts: tuple[bytes, ...], length: bytes | None
) -> None:
    """Whatever length it says it has."""
    with pytest.raises(Refused) as caught:
        body(*parts, length=length)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


def test_a_peer_that_is_gone_gets_no_answer() -> None:
    """In the middle of its request."""
    with pytest.raises(Disconnected):
        body(*())


def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it holds nothing for ever."""
    monkeypatch.setattr(limits, "BODY_S", 0.01)

    async def never() -> Mapping[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(Refused, match="too_slow"):
        asyncio.run(read_body(scope_of("POST", "/"), never, 10))


def test_a_body_that_was_read_is_given_on_once() -> None:
    """Then the application hears of the connection's end, as ever."""

    async def read() -> list[Mapping[str, Any]]:
        again = replayed(b"abc", receiving())
        return [await again(), await again()]

    first, second = asyncio.run(read())
    assert first == {"type": "http.request", "body": b"abc", "more_body": False}
    assert second["type"] == "http.disconnect"
