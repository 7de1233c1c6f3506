"""A sink that fails costs its own figures and a line, never the run, and never in silence."""

import logging
import threading

import pytest

from server.sinks.fan_out import Sinks
from server.sinks.figures import OF_THE_SERVER, SHOWN, Figures, figures


class Kept:
    """Keeps what it is given; raises where it is told to."""

    def __init__(self, name: str = "kept", *, fails_at: int = 0, fails_to_close: bool = False):
        self.name = name
        self.rounds: list[tuple[int, Figures]] = []
        self.closed = threading.Event()
        self._fails_at, self._fails_to_close = fails_at, fails_to_close

    def write(self, round_number: int, figures: Figures) -> None:
        """One round."""
        if round_number == self._fails_at:
            raise ZeroDivisionError("the store\n is full")
        self.rounds.append((round_number, figures))

    def close(self) -> None:
        """Done."""
        if self._fails_to_close:
            raise OSError(28, "no space")
        self.closed.set()


def test_every_sink_gets_every_round_in_its_order() -> None:
    """The same figures; all is there after it was closed."""
    sinks = [Kept("a"), Kept("b")]
    several = Sinks(sinks)
    for number in range(1, 20):
        several.write(number, {"loss": 1.0 / number})
    several.close()
    assert sinks[0].rounds == sinks[1].rounds == [(n, {"loss": 1.0 / n}) for n in range(1, 20)]
    assert all(sink.closed.is_set() for sink in sinks)


def test_a_sink_that_fails_is_told_once_and_gets_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """The others go on; the run does not learn of it."""
    good, bad = Kept("good"), Kept("bad", fails_at=2)
    several = Sinks([good, bad])
    with caplog.at_level(logging.WARNING, "murmura"):
        several.write(1, {})
        several.write(2, {})
        assert bad.closed.wait(0) is False
        several._workers[1]._thread.submit(lambda: None).result()  # it has tried
        for number in (3, 4):
            several.write(number, {})
        several.close()
    assert [number for number, _ in good.rounds] == [1, 2, 3, 4]
    assert [number for number, _ in bad.rounds] == [1]
    assert bad.closed.wait(10)
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        "bad gets no more figures of this run: ZeroDivisionError: the store is full; "
        "metrics.jsonl has them all"
    )


def test_what_fails_last_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """The last round, and closing."""
    several = Sinks([Kept("late", fails_at=1), Kept("end", fails_to_close=True)])
    with caplog.at_level(logging.WARNING, "murmura"):
        several.write(1, {})
        several.close()
    told = [record.getMessage().partition(" gets")[0] for record in caplog.records]
    assert told == ["late", "end"]


def test_a_sink_that_hangs_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its time, which is told."""
    let_go = threading.Event()

    class Hanging(Kept):
        def close(self) -> None:
            let_go.wait(60)

    several = Sinks([Hanging()])
    with caplog.at_level(logging.WARNING, "murmura"):
        several.close(timeout_s=0.01)
    let_go.set()
    assert "1 of the run's sinks have not taken all figures within 0.01 s" in caplog.text


def test_without_sinks_nothing_is_started() -> None:
    """No thread."""
    before = threading.active_count()
    several = Sinks()
    several.write(1, {})
    several.close()
    assert threading.active_count() == before


def test_only_finite_numbers_are_figures() -> None:
    """A metric of one of our names is ours; a text is none."""
    line = {
        "loss": "nan", "accuracy": None, "epsilon": 1.5, "answered": 2, "asked": 3,
        "metrics": {"recall": 0.5, "rmse": "inf", "epsilon": 99.0},
    }  # fmt: skip
    assert figures(line) == {"epsilon": 1.5, "answered": 2.0, "metrics/recall": 0.5}
    assert set(OF_THE_SERVER) < set(SHOWN)
    assert figures({}) == {}
