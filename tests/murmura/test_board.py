"""What is remembered of a run."""

import math

import pytest

from murmura.board import KEPT_ROUNDS, Board, meaning_of, trusts_the_server, worst_finite
from server.progress import RunFinished
from tests.murmura.scripted import (
    NO_CLAIM,
    TRUSTED_SERVER,
    PlannedClaim,
    round_finished,
    started,
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At zero."""
    return Clock()


def test_before_the_first_round_nothing_is_predicted(clock: Clock) -> None:
    """No time left is invented from nothing."""
    board = Board("cpu", clock)
    assert (board.rounds_done, board.seconds_left) == (0, None)
    board.take(started())
    assert (board.rounds_done, board.seconds_left) == (0, None)


def test_a_resumed_run_counts_the_rounds_before_it(clock: Clock) -> None:
    """Round 41 is next: 40 are done."""
    board = Board("cpu", clock)
    board.take(started(first_round=41))
    assert board.rounds_done == 40


def test_the_time_left_follows_the_last_rounds_and_the_one_in_progress(clock: Clock) -> None:
    """Mean of the last five, times what is left, less what has passed; never below zero."""
    board = Board("cpu", clock)
    board.take(started(rounds=10))
    for number, seconds in enumerate([100.0, 2.0, 2.0, 2.0, 2.0, 2.0], start=1):
        board.take(round_finished(number, seconds=seconds))
    assert board.seconds_left == pytest.approx(8.0)
    clock.now = 1.5
    assert board.seconds_left == pytest.approx(6.5)
    clock.now = 100.0
    assert board.seconds_left == 0.0
    assert board.seconds_in_round == 100.0


def test_only_the_last_rounds_are_kept_but_every_loss_is_counted(clock: Clock) -> None:
    """Memory does not grow with the run."""
    board = Board("cpu", clock)
    for number in range(1, 31):
        board.take(round_finished(number, lost=1))
    assert len(board.last_rounds) == KEPT_ROUNDS
    assert (board.rounds_done, board.clients_lost) == (30, 30)


def test_the_end_is_remembered(clock: Clock) -> None:
    """With what the server says of it."""
    board = Board("cpu", clock)
    end = RunFinished(folder=started().folder, summary={})
    board.take(end)
    assert board.finished is end


def test_the_claim_shown_is_the_weakest_that_holds() -> None:
    """The largest finite epsilon; without one there is nothing to show."""
    assert worst_finite([NO_CLAIM, PlannedClaim(2.0), PlannedClaim(3.0)]) == PlannedClaim(3.0)
    assert worst_finite([NO_CLAIM]) is None
    assert math.isinf(NO_CLAIM.epsilon)


def test_a_server_that_sees_bounded_sums_alone_is_not_trusted() -> None:
    """Though an update without its masks would tell it everything; without sums it is."""
    each = PlannedClaim(math.inf, adversary="server_each_update")
    assert trusts_the_server([each, PlannedClaim(2.0)])
    assert trusts_the_server([each, PlannedClaim(math.inf, adversary="server_secagg_sum")])
    assert not trusts_the_server([each, PlannedClaim(2.0, adversary="server_secagg_sum")])
    assert not trusts_the_server([PlannedClaim(2.0, adversary="server_each_update")])


def test_an_epsilon_has_a_meaning_or_there_is_none() -> None:
    """Unit, delta, adjacency, and against whom: all, all but the server, or those who are named."""
    bounded = PlannedClaim()
    of = "at delta 1e-05 for one record, add or remove one, against"
    assert meaning_of((bounded,)) == f"{of} every observer"
    assert meaning_of((bounded, TRUSTED_SERVER)) == f"{of} all but the server"
    assert meaning_of((bounded, NO_CLAIM)) == f"{of} holder of the final model"
    assert meaning_of((NO_CLAIM,)) == meaning_of(()) == ""
