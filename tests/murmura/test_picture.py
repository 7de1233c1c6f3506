"""The picture of a run in progress."""

import math

import pytest

from murmura.board import Board
from murmura.picture import Picture
from tests.murmura.scripted import (
    NO_CLAIM,
    TRUSTED_SERVER,
    PlannedClaim,
    console,
    lines_within,
    printed,
    round_finished,
    started,
)


def board_at(*round_numbers: int) -> Board:
    """A board that has seen these rounds."""
    board = Board("cuda:0")
    board.take(started())
    for number in round_numbers:
        board.take(round_finished(number))
    return board


def drawn(board: Board, *, width: int = 100, encoding: str = "utf-8") -> str:
    """The picture as text."""
    target = console(width=width, encoding=encoding)
    target.print(Picture(board).draw())
    return printed(target)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_picture_fits_any_width_and_encoding(width: int, encoding: str) -> None:
    """No line is longer than the terminal is wide; no sign it lacks is used."""
    text = drawn(board_at(*range(1, 31)), width=width, encoding=encoding)
    assert lines_within(text, width)
    assert "?" not in text
    assert "answered" in text
    assert "84.0 %" in text


def test_the_header_says_what_runs_where_and_under_which_promise() -> None:
    """Task, model, clients, dimension, device; planned epsilon, delta and unit."""
    text = drawn(board_at(1))
    for fact in ("digits", "mlp", "20 clients", "26,010 parameters", "cuda:0"):
        assert fact in text
    assert "planned ε 7.42 at δ 1e-05 for one record, add or remove one" in text


def test_a_trusted_server_is_named_in_the_promise() -> None:
    """At client level the server sees every clipped update."""
    board = Board("cpu")
    board.take(started(planned_claims=(PlannedClaim(unit="client"), TRUSTED_SERVER)))
    assert "for one client, add or remove one, against all but the server" in drawn(board)


def test_the_bars_show_rounds_and_spending() -> None:
    """Both with their numbers."""
    text = drawn(board_at(1, 30))
    assert "30 of 60, 1 min 00 s left" in text or "30 of 60, 60 s left" in text
    assert "ε 3.00 of 8.00" in text


def test_a_table_never_outgrows_the_window() -> None:
    """Old rounds go first."""
    text = drawn(board_at(*range(1, 41)))
    assert "    40 " in text
    assert "     3 " not in text
    assert len(text.splitlines()) <= 40


def test_before_anything_is_known_the_picture_says_what_is_awaited() -> None:
    """Importing and reading data takes seconds; the terminal is not blank meanwhile."""
    assert "preparing model and data" in drawn(Board("cpu"))


def test_between_rounds_the_current_one_is_counted_and_the_end_is_quiet() -> None:
    """Round n + 1 is in progress until the last is done."""
    assert "round 31, 0 s; Ctrl-C stops" in drawn(board_at(30))
    assert "Ctrl-C" not in drawn(board_at(60))


def test_a_long_round_is_told_in_minutes() -> None:
    """As every duration."""
    now = [0.0]
    board = Board("cpu", lambda: now[0])
    board.take(started())
    now[0] = 185.0
    assert "round 1, 3 min 05 s" in drawn(board)


def test_a_run_without_a_guarantee_says_so_and_has_no_bar_for_it() -> None:
    """An infinite epsilon is no share of a budget."""
    board = Board("cpu")
    aggregation = "secure aggregation of 20: .."
    board.take(started(planned_claims=(NO_CLAIM,), seeded=True, aggregation=aggregation))
    board.take(round_finished(1, epsilon=math.inf))
    text = drawn(board)
    assert "not private: no observer's knowledge is bounded" in text
    assert "seeded randomness" in text
    assert aggregation in text
    assert "∞" in text
    assert "privacy " not in text


@pytest.mark.parametrize("epsilon", [1.0, 7.0, 8.0, 9.0])
def test_spending_is_shown_up_to_and_beyond_the_budget(epsilon: float) -> None:
    """The bar is full at the budget; the number goes on."""
    board = Board("cpu")
    board.take(started())
    board.take(round_finished(1, epsilon=epsilon))
    assert f"ε {epsilon:.2f} of 8.00" in drawn(board)
