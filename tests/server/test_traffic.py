"""Bytes are those of what was sent and of what came, of this round alone."""

from contextvars import ContextVar

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict

from server.exchange import exchange
from server.sizes import size_of
from server.traffic import begun, received, sent
from tests.server.fake_grid import FIRST_NODE, FakeGrid, named


def messages(count: int, numbers: int) -> list[Message]:
    """One record for several clients."""
    record = RecordDict({"model": ArrayRecord({"x": Array(np.zeros(numbers, np.float32))})})
    return [
        Message(record, dst_node_id=FIRST_NODE + node, message_type="train")
        for node in range(count)
    ]


def test_each_copy_that_is_sent_counts() -> None:
    """A shared record is measured once and counted for each client; its numbers are most of it."""
    spent = begun()
    sent(messages(3, 1000))
    assert spent.down == 3 * size_of(messages(1, 1000)[0].content)
    assert 12_000 < spent.down < 13_000
    assert (spent.bytes, spent.seconds >= 0.0) == ((spent.down, 0), True)


def test_what_comes_counts_unless_it_is_an_error() -> None:
    """Of the round that began last."""
    before, spent = begun(), begun()
    (message,) = messages(1, 10)
    received(Message(message.content, reply_to=message))
    received(Message(Error(code=1, reason="x" * 100), reply_to=message))
    assert spent.up == size_of(message.content)
    assert (before.up, before.bytes) == (0, (None, None))


def test_an_exchange_is_counted_both_ways() -> None:
    """Whatever the grid; a client that is silent sends nothing."""
    asked = messages(2, 100)
    grid = FakeGrid(2, lambda client, message: [named("a", message)] if client else [])
    spent = begun()
    ((_, reply),) = list(exchange(grid, asked, 0.02, most_bytes=1 << 14))
    assert (spent.down, spent.up) == (2 * size_of(asked[0].content), size_of(reply.content))


def test_nothing_is_counted_before_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrolment comes before the first."""
    monkeypatch.setattr("server.traffic._CURRENT", ContextVar("none", default=None))
    sent(messages(1, 1))
    (message,) = messages(1, 1)
    received(Message(message.content, reply_to=message))
