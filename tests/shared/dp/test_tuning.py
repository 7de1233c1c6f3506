"""Choosing the best of several runs: what the paper says, and far less than composing them."""

import math

import pytest
from dp_accounting import dp_event as dp

from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.tuning import tuned_epsilon
from shared.errors import ConfigurationError, PrivacyError
from tests.shared.dp.test_accounting import sampled

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE
BASE = sampled(0.01, 1.503, 1000)


@pytest.mark.parametrize(("runs", "expected", "naive"), [(10, 2.13, 3.18), (100, 2.71, 12.3)])
def test_the_best_of_several_runs_costs_what_the_paper_says(
    runs: float, expected: float, naive: float
) -> None:
    """Known answers for a base whose Rényi epsilon is 1.01 at 1e-5; composing all costs more."""
    base = epsilon_of(BASE, 1e-5, ADD_REMOVE)
    assert base.rdp == pytest.approx(1.01, abs=1e-3)
    assert tuned_epsilon(BASE, runs, 1e-5) == pytest.approx(expected, abs=0.01)
    composed = epsilon_of(dp.SelfComposedDpEvent(BASE, int(runs)), 1e-5, ADD_REMOVE).epsilon
    assert composed == pytest.approx(naive, rel=0.01)


def test_more_runs_and_more_steps_cost_more_and_one_run_the_least() -> None:
    """Monotone in both."""
    few, many = tuned_epsilon(BASE, 3.0, 1e-5), tuned_epsilon(BASE, 30.0, 1e-5)
    base = epsilon_of(BASE, 1e-5, ADD_REMOVE).rdp
    assert base is not None
    assert base < few < many < tuned_epsilon(dp.SelfComposedDpEvent(BASE, 2), 30.0, 1e-5)


def test_a_run_without_privacy_has_none_after_tuning() -> None:
    """Infinite, not refused."""
    assert tuned_epsilon(dp.NonPrivateDpEvent(), 2.0, 1e-5) == math.inf


def test_tuning_that_is_no_tuning_is_refused() -> None:
    """One run, steps without Rényi bounds or of no kind, a delta outside its domain."""
    for runs in (1.0, math.inf, math.nan):
        with pytest.raises(ConfigurationError, match="more than one"):
            tuned_epsilon(dp.GaussianDpEvent(1.0), runs, 1e-5)
    with pytest.raises(ConfigurationError, match="Rényi"):
        tuned_epsilon(dp.TruncatedSubsampledGaussianDpEvent(100, 0.5, 80, 5.0), 10.0, 1e-5)
    with pytest.raises(PrivacyError, match="accounted"):
        tuned_epsilon(dp.LaplaceDpEvent(1.0), 10.0, 1e-5)
    with pytest.raises(ConfigurationError, match="delta"):
        tuned_epsilon(dp.GaussianDpEvent(1.0), 10.0, 0.0)
