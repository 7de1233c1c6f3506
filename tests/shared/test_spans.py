"""Where time goes: each second counted once on its thread, and nothing where nobody records."""

import threading
from contextlib import suppress

import pytest

from shared import spans
from shared.spans import NAMES, recording, span


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """In place of the machine's."""
    return Clock()


def test_what_is_inside_another_span_is_not_counted_twice(clock: Clock) -> None:
    """A round of 10 s, of which 3 are noise and 2 disk."""
    with recording(clock) as recorder, span("round"):
        clock.now += 5.0
        with span("noise"):
            clock.now += 1.0
            with span("disk"):
                clock.now += 2.0
            clock.now += 2.0
    assert recorder.seconds == {"disk": 2.0, "noise": 3.0, "round": 5.0}
    assert recorder.calls == {"disk": 1, "noise": 1, "round": 1}
    assert [(event.name, event.begin, event.seconds) for event in recorder.events] == [
        ("disk", 6.0, 2.0), ("noise", 5.0, 5.0), ("round", 0.0, 10.0),
    ]  # fmt: skip


def test_a_span_that_breaks_off_counts(clock: Clock) -> None:
    """And leaves the one around it whole."""
    with recording(clock) as recorder, span("round"):
        with suppress(ValueError), span("noise"):
            clock.now += 1.0
            raise ValueError
        clock.now += 2.0
    assert recorder.seconds == {"noise": 1.0, "round": 2.0}


def test_threads_do_not_lie_inside_one_another(clock: Clock) -> None:
    """A thread's time is not taken off what its starter waits for."""
    with recording(clock) as recorder, span("messages"):

        def worked() -> None:
            with span("forward"):
                clock.now += 3.0

        thread = threading.Thread(target=worked)
        thread.start()
        thread.join()
    assert recorder.seconds == {"forward": 3.0, "messages": 3.0}
    assert {event.name: event.thread for event in recorder.events} == {"forward": 0, "messages": 1}


def test_nobody_records_by_default(clock: Clock) -> None:
    """Before, and after."""
    with recording(clock) as recorder:
        pass
    with span("noise"):
        clock.now += 1.0
    assert recorder.seconds == {}


def test_events_are_bounded_and_sums_are_not(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run keeps its first spans, and counts all."""
    monkeypatch.setattr(spans, "_MOST_EVENTS", 3)
    with recording(clock) as recorder:
        for _ in range(5):
            with span("noise"):
                clock.now += 1.0
    assert len(recorder.events) == 3
    assert recorder.seconds == {"noise": 5.0}
    assert set(recorder.seconds) <= set(NAMES)
