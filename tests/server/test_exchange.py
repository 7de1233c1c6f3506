"""Replies come as they arrive, each once, until the deadline; never later and never by sleeping."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import NoReturn

import pytest
from flwr.app import Message

from server.exchange import POLL_INTERVAL_S, cut, exchange, reason_of
from shared.errors import ProtocolError
from shared.messages import enrol_request
from tests.server.fake_grid import FIRST_NODE, Answer, FakeGrid, failed, named, silent

MOST = 1 << 14


def questions(count: int) -> list[Message]:
    """One enrolment for each node of a grid of `count`."""
    return [
        Message(enrol_request(), dst_node_id=FIRST_NODE + node, message_type="query.enrol")
        for node in range(count)
    ]


def positions(grid: FakeGrid, count: int, timeout_s: float = 0.02) -> list[int]:
    """Positions in order of arrival."""
    return [
        position for position, _ in exchange(grid, questions(count), timeout_s, most_bytes=MOST)
    ]


def grid_of(count: int, enrolment: Answer | None = None, *, backwards: bool = False) -> FakeGrid:
    """A grid that is asked for names."""
    return FakeGrid(count, silent, enrolment=enrolment, backwards=backwards)


def test_replies_are_matched_to_questions_whatever_order_they_come_in() -> None:
    """Positions follow arrival, and each reply is the one to its own question."""
    grid = grid_of(3, backwards=True)
    found = list(exchange(grid, questions(3), 1.0, most_bytes=MOST))
    assert [position for position, _ in found] == [2, 1, 0]
    # Client 2 - i sits at node i.
    names = [reply.content.config_records["murmura"]["client_id"] for _, reply in found]
    assert names == ["site-0", "site-1", "site-2"]


def test_nothing_sleeps_while_replies_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An in-process grid is never waited for."""

    def sleep(seconds: float) -> NoReturn:
        raise AssertionError(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    assert positions(grid_of(300), 300, timeout_s=60.0) == list(range(300))


def test_the_longer_it_waits_the_more_seldom_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is found at most a twentieth of its time late; and the deadline is kept."""
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr("server.exchange.time", clock)
    grid = grid_of(1, lambda _client, _message: [])
    assert positions(grid, 1, timeout_s=60.0) == []
    assert now[0] == pytest.approx(60.0)
    assert slept[:20] == [POLL_INTERVAL_S] * 20
    assert sorted(slept[:-1]) == pytest.approx(slept[:-1])
    assert max(slept) == 1.0
    assert len(slept) < 120


def test_a_reply_that_never_comes_is_not_waited_for_beyond_the_deadline() -> None:
    """The others have been handed on by then."""
    grid = grid_of(3, lambda client, message: [] if client == 1 else [named("x", message)])
    assert positions(grid, 3) == [0, 2]


def test_what_has_arrived_by_the_deadline_is_handed_on() -> None:
    """A deadline of nothing still takes what lies there."""
    assert positions(grid_of(3), 3, timeout_s=0.0) == [0, 1, 2]


def test_a_second_reply_to_one_question_is_dropped() -> None:
    """A duplicate cannot count twice."""

    def both(client: int, message: Message) -> list[Message]:
        return [named(f"first-{client}", message), named(f"second-{client}", message)]

    found = list(exchange(grid_of(2, both), questions(2), 1.0, most_bytes=MOST))
    assert [position for position, _ in found] == [0, 1]


def test_a_grid_that_repeats_itself_forever_does_not_hold_the_round_up() -> None:
    """Only what is new counts as an arrival."""

    class Stuck(FakeGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            del message_ids
            return self._replies[:1]

    grid = Stuck(2, silent)
    assert positions(grid, 2) == [0]


def test_a_message_that_the_grid_refuses_is_never_answered() -> None:
    """Flower's HTTP grid returns None instead of an id."""

    class Refusing(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            return [None, *list(super().push_messages(messages))[1:]]  # type: ignore[list-item]

    assert positions(Refusing(2, silent), 2) == [1]


def test_a_push_that_failed_altogether_is_an_error() -> None:
    """Flower's HTTP grid returns no ids where the request was too large."""

    class Full(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            super().push_messages(messages)
            return []

    with pytest.raises(ProtocolError, match="expected the ids of 2 messages, got 0"):
        positions(Full(2, silent), 2)


def test_without_messages_the_grid_is_left_alone() -> None:
    """An empty cohort costs nothing; a pull would fail the fake grid's assertion."""
    assert list(exchange(grid_of(0), [], 60.0, most_bytes=MOST)) == []


def test_a_reason_is_one_short_line() -> None:
    """It is another party's text, and goes to the log."""
    grid = grid_of(1)
    question = questions(1)[0]
    grid.push_messages([question])
    assert len(reason_of(failed(question, "x" * 5000))) == 200
    assert reason_of(failed(question, "two\nlines")) == "two lines"
    assert reason_of(failed(question, "")) == "error code 2"
    assert cut("y" * 200) == "y" * 200


def test_a_reason_gives_a_terminal_no_orders_and_is_not_read_to_its_end() -> None:
    """Escape sequences would clear a screen or hide a line; a megabyte is cut first."""
    assert cut("a\x1b[2Jb\x00\u202ec") == "a?[2Jb??c"
    assert len(cut(" " * 10**6 + "x")) == 0
    assert cut("x" * 10**6).endswith("…")


def test_a_reply_that_is_too_large_becomes_an_error() -> None:
    """Of its client alone, before anybody decodes it."""
    grid = grid_of(2, lambda client, message: [named("x" * (10 + 1000 * client), message)])
    found = dict(exchange(grid, questions(2), 1.0, most_bytes=1000))
    assert sorted(reply.has_error() for reply in found.values()) == [False, True]
    (error,) = [reply for reply in found.values() if reply.has_error()]
    assert reason_of(error).startswith("expected at most 1000 bytes, got 1")
