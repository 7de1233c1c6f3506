"""A round's updates are kept as they came, checked one by one, and combined once."""

import numpy as np
import pytest

from server.robust.choice import Robust
from server.robust.round_sum import RobustSum
from shared.dp.randomness import SeededRandomness
from shared.errors import ProtocolError, TooFewSurvivors
from shared.messages import TrainReply
from tests.server.fake_grid import vector
from tests.server.toy import plan

PROMISE = plan({"privacy.unit": "none", "population.size": 10})
STREAM = SeededRandomness(1).stream("x")


def reply(*values: float, attempt: int = 1) -> TrainReply:
    """An update of round 1."""
    return TrainReply(
        round_number=1, attempt=attempt, plan_digest=PROMISE.digest(), update=vector(*values)
    )


def collecting(asked: int = 7, rule: str = "median") -> RobustSum:
    """A round of updates of two numbers; a fifth of the clients may be false."""
    robust = Robust(rule, 0.2, 0.0, 3)
    return RobustSum(PROMISE, 2, robust, cohort_size=asked, round_number=1, attempt=1)


def test_the_result_stands_for_the_mean_of_those_who_answered() -> None:
    """Not divided by the ten of the plan; no noise is added; whoever is silent shrinks nothing."""
    total = collecting()
    for position in range(5):
        total.add(position, reply(1.0, float(position)))
    for position in (5, 6):
        total.give_up(position)
    assert total.combine() == ()
    assert total.survivors == 5
    assert total.mean(STREAM).tolist() == [1.0, 2.0]


def test_who_lies_far_off_is_named_by_position() -> None:
    """Three times as far from the result as half of all; silent ones are passed over."""
    total = collecting()
    for position, value in ((6, 1.1), (5, 900.0), (3, 1.0), (2, 0.9), (1, 1.0), (0, 0.9)):
        total.add(position, reply(value, value))
    assert total.combine() == (5,)
    assert np.abs(total.mean(STREAM) - 1.0).max() < 0.2


def test_where_all_but_one_agree_that_one_is_far() -> None:
    """Half of the distances are zero then; if all agree nobody is."""
    total = collecting()
    for position in range(7):
        total.add(position, reply(1.0, 1.0 if position else 1.001))
    assert total.combine() == (0,)
    same = collecting()
    for position in range(7):
        same.add(position, reply(1.0, 1.0))
    assert same.combine() == ()


@pytest.mark.parametrize("rule", ["median", "krum", "norm_bound", "trimmed_mean"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_never_passes(rule: str, bad: float) -> None:
    """It is refused before any rule sees it, like a wrong length, attempt or bytes under masks."""
    total = collecting(asked=8, rule=rule)
    for wrong in (reply(0.0, bad), reply(1.0), reply(1.0, 2.0, 3.0), reply(1.0, 2.0, attempt=2)):
        with pytest.raises(ProtocolError):
            total.add(0, wrong)
    assert total.survivors == 0
    for position in range(1, 8):
        total.add(position, reply(1.0, 2.0))
    total.combine()
    assert np.isfinite(total.mean(STREAM)).all()


def test_with_too_few_answers_the_round_is_void() -> None:
    """None at all, too; those in quarantine are counted as the rule says."""
    with pytest.raises(TooFewSurvivors):
        collecting().combine()
    total = collecting(asked=6, rule="krum")
    for position in range(6):
        total.add(position, reply(1.0, 2.0))
    with pytest.raises(TooFewSurvivors, match="needs 7 updates where 2 of 6"):
        total.combine()
    assert total.combine(barred=2) == ()
    # One of those asked sent NaN, say: it is one of the two.
    total = collecting(asked=7, rule="krum")
    for position in range(6):
        total.add(position, reply(1.0, 2.0))
    assert total.combine(refused=1) == ()


def test_updates_are_kept_as_they_lie_in_the_message() -> None:
    """In float32, and not copied: memory is n·d·4 bytes until the round is over."""
    total, sent = collecting(), reply(1.0, 2.0)
    total.add(0, sent)
    (kept,) = total._updates.values()
    assert kept is sent.update
