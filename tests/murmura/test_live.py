"""Progress while it runs: the live picture, plain lines, silence."""

import math
from typing import Any

import pytest

from murmura.board import Board
from murmura.live import (
    LiveView,
    PlainView,
    QuietView,
    plain_lines,
    showing,
    view_for,
)
from server.progress import LOGGER, Progress, RunFinished, tell, told
from tests.murmura.scripted import (
    NO_CLAIM,
    SUMS_ALONE,
    TRUSTED_SERVER,
    PlannedClaim,
    console,
    printed,
    round_finished,
    started,
)


def send(event: Progress) -> None:
    """As the server does it."""
    tell("progress", event)


def test_a_pipe_gets_one_plain_line_an_event() -> None:
    """Complete, ASCII, no control sequences, not wrapped however narrow the console."""
    target = console(width=40, terminal=False)
    board = Board("cpu")
    with showing(board, view_for(target, board, quiet=False)):
        send(started())
        send(round_finished(1, epsilon=0.421, loss=None, accuracy=None))
        send(round_finished(60, lost=0, answered=20))
        send(RunFinished(folder=started().folder, summary={}))
    lines = printed(target).splitlines()
    assert printed(target).isascii()
    assert lines[:3] == [
        "run 20261123-180000-digits-1f2e in runs/20261123-180000-digits-1f2e",
        "task digits, model mlp, 20 clients, 26,010 parameters, cpu, 60 rounds",
        "planned: epsilon 7.42 at delta 1e-05 for one record, add or remove one, "
        "against holder of the final model",
    ]
    assert lines[3].startswith(
        "round 1/60: asked 20, answered 19, lost 1, loss -, accuracy -, epsilon 0.43 of 8.00, 2.0 s"
    )
    assert lines[3].endswith(" left")
    assert lines[4].endswith("accuracy 84.0 %, epsilon 6.00 of 8.00, 2.0 s")
    assert len(lines) == 5


def test_a_round_without_privacy_says_so() -> None:
    """No infinite part of a budget that nobody keeps; in the log of the server likewise."""
    event = round_finished(1, epsilon=math.inf)
    [line] = plain_lines(Board("cpu"), event)
    assert ", accuracy 84.0 %, no privacy, 2.0 s" in line
    assert told(event) == "19 of 20 answered, accuracy 0.8400, no privacy"
    assert told(round_finished(2)) == "19 of 20 answered, accuracy 0.8400, epsilon 0.2000"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeded": True}, "seeded randomness: a simulation, no guarantee holds for real data"),
        ({"first_round": 12}, "resumed at round 12"),
        ({"aggregation": "secure aggregation of 20: .."}, "secure aggregation of 20: .."),
        ({"planned_claims": (NO_CLAIM,)}, "no privacy guarantee is planned"),
        (
            {"planned_claims": (PlannedClaim(unit="client"), TRUSTED_SERVER)},
            "planned: epsilon 7.42 at delta 1e-05 for one client, add or remove one, "
            "against all but the server",
        ),
        (
            {"planned_claims": (PlannedClaim(), SUMS_ALONE)},
            "planned: epsilon 7.42 at delta 1e-05 for one record, add or remove one, "
            "against every observer",
        ),
        (
            {"planned_claims": (PlannedClaim(), SUMS_ALONE, TRUSTED_SERVER)},
            "planned: epsilon 7.42 at delta 1e-05 for one record, add or remove one, "
            "against holder of the final model; server, sees sums only",
        ),
    ],
)
def test_what_weakens_or_shortens_a_run_is_said_at_its_start(
    changes: dict[str, Any], line: str
) -> None:
    """A seed, a resume, the absence of any guarantee."""
    event = started(**changes)
    board = Board("cpu")
    board.take(event)
    assert line in plain_lines(board, event)
    assert line not in plain_lines(board, started())


def test_the_live_picture_shows_the_last_round_and_stays_when_it_ends() -> None:
    """However fast the rounds were."""
    target = console()
    board = Board("cpu")
    with showing(board, view_for(target, board, quiet=False)):
        send(started())
        send(round_finished(17))
    assert "17 of 60" in printed(target).rpartition("╭")[2]


def test_silence_is_silent_but_the_board_still_knows() -> None:
    """With --quiet an interrupted run can still say where it stands."""
    target = console()
    board = Board("cpu")
    with showing(board, view_for(target, board, quiet=True)):
        send(started())
        send(round_finished(3))
    assert printed(target) == ""
    assert board.rounds_done == 3


def test_the_view_suits_the_output() -> None:
    """A picture only where it can be redrawn."""
    board = Board("cpu")
    dumb = console()
    dumb._environ = {"TERM": "dumb"}
    assert isinstance(view_for(console(), board, quiet=False), LiveView)
    assert isinstance(view_for(console(terminal=False), board, quiet=False), PlainView)
    assert isinstance(view_for(dumb, board, quiet=False), PlainView)
    assert isinstance(view_for(console(), board, quiet=True), QuietView)


def test_after_a_run_nothing_listens_any_more_even_if_it_failed() -> None:
    """The logger is left as it was found; records without an event are passed over."""
    logger = LOGGER
    before = (list(logger.handlers), logger.level)
    board = Board("cpu")

    def fail() -> None:
        with showing(board, QuietView()):
            logger.info("no event in here")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert (list(logger.handlers), logger.level) == before
    send(round_finished(3))
    assert board.rounds_done == 0
    assert math.isfinite(board.seconds_in_round)
