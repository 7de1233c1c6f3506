"""The picture of a run in progress, drawn from the board with rich."""

import math

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from murmura.board import Board, trusts_the_server, worst_finite
from murmura.wording import (
    Signs,
    duration_text,
    epsilon_text,
    loss_text,
    model_text,
    score_text,
    signs_for,
)
from server.progress import RoundFinished, RunStarted
from shared.counting import counted

_FRAME_LINES = 12  # lines of the picture that are no rounds
_WIDE = 100  # columns from which the table is as wide as the bars
_ROOMY = 72  # columns from which the table has room for all of its own
_FEWEST_ROWS = 3


class Picture:
    """Draws a board for whatever width, height and encoding the console has."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._spinners = {name: Spinner(name) for name in ("dots", "line")}

    def draw(self) -> RenderableType:
        """Something to print; reads the board only when it is printed."""
        return self

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The picture's parts from top to bottom."""
        signs = signs_for(options.encoding)
        started = self._board.started
        if started is None:
            yield self._waiting("preparing model and data", options)
            return
        yield _header(started, self._board.device, signs)
        yield Padding(_bars(self._board, started, signs), (0, 1))
        if self._board.last_rounds:
            rows = max(_FEWEST_ROWS, console.size.height - _FRAME_LINES)
            yield Padding(_rounds_table(self._board, rows, signs, width=options.max_width), (0, 1))
        if self._board.rounds_done < started.rounds:
            yield self._waiting(_current(self._board), options)

    def _waiting(self, text: str, options: ConsoleOptions) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        spinner = self._spinners["line" if options.ascii_only else "dots"]
        grid.add_row(spinner, Text(text, style="dim"))
        return Padding(grid, (0, 1))


def _current(board: Board) -> str:
    whole = math.floor(board.seconds_in_round)
    spent = duration_text(whole) if whole >= 60 else f"{whole} s"
    return f"round {board.rounds_done + 1}, {spent}; Ctrl-C stops, and tells how to resume"


def _header(started: RunStarted, device: str, signs: Signs) -> RenderableType:
    facts = Text(f" {signs.dot} ", style="dim").join(
        [
            Text(started.task, style="bold"),
            Text(model_text(started.model)),
            Text(counted(started.population, "client")),
            Text(f"{started.dimension:,} parameters"),
            Text(device),
        ]
    )
    lines: list[Text] = [facts, _promise(started, signs)]
    if started.aggregation:
        lines.append(Text(started.aggregation, style="dim"))
    if started.seeded:
        lines.append(
            Text("seeded randomness: a simulation, no guarantee holds for real data", "yellow")
        )
    return Panel(
        Group(*lines),
        title=Text.assemble(("murmura", "bold"), f" {started.run_id}"),
        title_align="left",
        border_style="cyan",
        box=box.ROUNDED,
    )


def _promise(started: RunStarted, signs: Signs) -> Text:
    claim = worst_finite(started.planned_claims)
    if claim is None:
        return Text("not private: no observer's knowledge is bounded", "bold red")
    trusting = ", against all but the server" if trusts_the_server(started.planned_claims) else ""
    return Text(
        f"planned {signs.epsilon} {epsilon_text(claim.epsilon, signs)} at "
        f"{signs.delta} {claim.delta:g} for one {claim.unit}, "
        f"{claim.adjacency.replace('_', ' ')}{trusting}"
    )


def _bars(board: Board, started: RunStarted, signs: Signs) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    done, left = board.rounds_done, board.seconds_left
    rest = "" if left is None or done >= started.rounds else f", {duration_text(left)} left"
    grid.add_row(
        "rounds",
        ProgressBar(total=started.rounds, completed=done, complete_style="cyan"),
        Text(f"{done} of {started.rounds}{rest}"),
    )
    if board.last_rounds and math.isfinite(board.last_rounds[-1].epsilon):
        grid.add_row(*_spending(board.last_rounds[-1], signs))
    return grid


def _spending(last: RoundFinished, signs: Signs) -> tuple[RenderableType, ...]:
    share = last.epsilon / last.epsilon_budget
    style = "green" if share < 0.75 else "yellow" if share <= 1 else "red"
    bar = ProgressBar(
        total=last.epsilon_budget,
        completed=min(last.epsilon, last.epsilon_budget),
        complete_style=style,
        finished_style=style,
    )
    spent = epsilon_text(last.epsilon, signs)
    return "privacy", bar, Text(f"{signs.epsilon} {spent} of {epsilon_text(last.epsilon_budget)}")


def _rounds_table(board: Board, rows: int, signs: Signs, *, width: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=width >= _WIDE, pad_edge=False, header_style="dim")
    headings = ["round", "answered", "lost", "loss", "accuracy", signs.epsilon]
    roomy = width >= _ROOMY
    headings = [*headings[:1], "asked", *headings[1:], "time"] if roomy else headings
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, overflow="crop")
    for event in list(board.last_rounds)[-rows:]:
        cells = [
            Text(str(event.round_number)),
            Text(str(event.answered)),
            Text(str(event.lost), "yellow" if event.lost else "dim"),
            Text(loss_text(event.loss, signs)),
            Text(score_text(event.accuracy, signs), "bold"),
            Text(epsilon_text(event.epsilon, signs)),
        ]
        extra = Text(str(event.asked)), Text(duration_text(event.seconds))
        table.add_row(*([cells[0], extra[0], *cells[1:], extra[1]] if roomy else cells))
    return table
