"""Progress of a run while it runs: a live picture on a terminal, plain lines elsewhere.

The server sends its events as logging records (`murmura.progress`); `showing` listens to them for
the time of a run, keeps the board up to date and hands each event to a view.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.live import Live

from murmura.board import Board, meaning_of, worst_finite
from murmura.picture import Picture
from murmura.wording import duration_text, epsilon_text, loss_text, model_text, score_text
from server.progress import LOGGER, Progress, RoundFinished, RunStarted
from shared.counting import counted


class View(Protocol):
    """Somewhere to show progress."""

    def open(self) -> AbstractContextManager[object]:
        """Entered for the time of the run."""

    def show(self, board: Board, event: Progress) -> None:
        """Show that `event`, already on the `board`, has come."""


class QuietView:
    """Shows nothing."""

    def open(self) -> AbstractContextManager[object]:
        """Nothing to prepare."""
        return nullcontext()

    def show(self, board: Board, event: Progress) -> None:
        """Nothing."""


class PlainView:
    """One line an event, for pipes, files and `--json`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def open(self) -> AbstractContextManager[object]:
        """Nothing to prepare."""
        return nullcontext()

    def show(self, board: Board, event: Progress) -> None:
        """Print the event's line."""
        for line in plain_lines(board, event):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A picture that is redrawn in place four times a second."""

    def __init__(self, console: Console, board: Board) -> None:
        self._live = Live(get_renderable=Picture(board).draw, console=console, refresh_per_second=4)

    def open(self) -> AbstractContextManager[object]:
        """Draws until it is left; the last state stays on the screen."""
        return self._live

    def show(self, board: Board, event: Progress) -> None:
        """Nothing: the next drawing reads the board, so that fast rounds cost no more."""


def view_for(console: Console, board: Board, *, quiet: bool) -> View:
    """The view that suits where `console` writes to."""
    if quiet:
        return QuietView()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console, board)
    return PlainView(console)


class _Listener(logging.Handler):
    """Passes progress events on to the board and its view."""

    def __init__(self, board: Board, view: View) -> None:
        super().__init__(logging.INFO)
        self._board, self._view = board, view

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "progress", None)
        if event is not None:
            self._board.take(event)
            self._view.show(self._board, event)


@contextmanager
def showing(board: Board, view: View) -> Iterator[None]:
    """Within it, every progress event reaches `board` and `view`; afterwards none does."""
    listener, level = _Listener(board, view), LOGGER.level
    LOGGER.addHandler(listener)
    LOGGER.setLevel(logging.INFO)
    try:
        with view.open():
            yield
    finally:
        LOGGER.removeHandler(listener)
        LOGGER.setLevel(level)


def plain_lines(board: Board, event: Progress) -> tuple[str, ...]:
    """What `event` reads like in a log; ASCII only."""
    if isinstance(event, RunStarted):
        return _started_lines(board, event)
    if isinstance(event, RoundFinished):
        return (_round_line(board, event),)
    return ()


def _promise(event: RunStarted) -> str:
    claim = worst_finite(event.planned_claims)
    if claim is None:
        return "no privacy guarantee is planned"
    return f"planned: epsilon {epsilon_text(claim.epsilon)} {meaning_of(event.planned_claims)}"


def _started_lines(board: Board, event: RunStarted) -> tuple[str, ...]:
    lines = [
        f"run {event.run_id} in {event.folder}",
        f"task {event.task}, {model_text(event.model)}, {counted(event.population, 'client')}, "
        f"{event.dimension:,} parameters, {board.device}, {counted(event.rounds, 'round')}",
        _promise(event),
    ]
    if event.aggregation:
        lines.append(event.aggregation)
    if event.seeded:
        lines.append("seeded randomness: a simulation, no guarantee holds for real data")
    if event.first_round > 1:
        lines.append(f"resumed at round {event.first_round}")
    return tuple(lines)


def _spent(event: RoundFinished) -> str:
    if not math.isfinite(event.epsilon):
        return "no privacy"
    return f"epsilon {epsilon_text(event.epsilon)} of {epsilon_text(event.epsilon_budget)}"


def _round_line(board: Board, event: RoundFinished) -> str:
    parts = [
        f"round {event.round_number}/{event.rounds}: asked {event.asked}",
        f"answered {event.answered}",
        f"lost {event.lost}",
        f"loss {loss_text(event.loss)}",
        f"accuracy {score_text(event.accuracy)}",
        _spent(event),
        duration_text(event.seconds),
    ]
    left = board.seconds_left
    if left is not None and event.round_number < event.rounds:
        parts.append(f"{duration_text(left)} left")
    return ", ".join(parts)
