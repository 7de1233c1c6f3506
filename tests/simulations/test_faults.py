"""Faults are chosen by client and round alone."""

import pytest

from simulations.faults import Fault, RandomDropout, ScriptedFaults


def test_a_script_is_followed_exactly() -> None:
    """Only the listed training exchange fails; an enrolment never does."""
    faults = ScriptedFaults({(1, "2"): Fault.RAISES})
    assert faults.fault(1, "train", "2") is Fault.RAISES
    assert faults.fault(1, "train", "1") is None
    assert faults.fault(0, "train", "2") is None
    assert faults.fault(1, "query.enrol", "2") is None


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 0), (1.0, 1000)])
def test_extreme_dropout_rates_lose_nobody_or_everybody(rate: float, expected: int) -> None:
    """Rate 0 and 1 are exact."""
    faults = RandomDropout(rate)
    assert sum(faults.fault(i, "train", "1") is not None for i in range(1000)) == expected
    assert faults.fault(0, "query.enrol", "1") is None


def test_random_dropout_is_repeatable_and_differs_between_rounds() -> None:
    """A faulty run can be repeated; a client is not lost for ever."""
    first, again = RandomDropout(0.5, seed=3), RandomDropout(0.5, seed=3)
    pattern = [[first.fault(i, "train", str(r)) for i in range(50)] for r in range(3)]
    assert pattern == [[again.fault(i, "train", str(r)) for i in range(50)] for r in range(3)]
    assert pattern[0] != pattern[1]
