"""The filter in whole numbers: never below the truth, never admits what PLD calls too much."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.renyi import (
    NOTHING,
    RENYI_ORDERS,
    SCALE,
    RenyiBudget,
    added,
    renyi_cost,
)
from shared.errors import ConfigurationError, PrivacyError

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


def record_cost(event: dp.DpEvent) -> tuple[int, ...]:
    """At record level."""
    return renyi_cost(event, ADD_REMOVE, unit="record")


steps = st.builds(
    lambda rate, noise, count: dp.SelfComposedDpEvent(
        dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise)), count
    ),
    st.sampled_from([0.01, 0.1, 0.5]),
    st.sampled_from([0.6, 1.0, 4.0]),
    st.integers(1, 20),
)


@pytest.mark.parametrize("noise", [0.5, 1.0, 20.0])
def test_a_gaussian_costs_half_its_order_over_the_variance_rounded_up(noise: float) -> None:
    """Closed form: α / (2σ²); at most the accountant's own last bits above it."""
    for order, cost in zip(RENYI_ORDERS, record_cost(dp.GaussianDpEvent(noise)), strict=True):
        exact = order / (2 * noise**2) * SCALE
        assert exact <= cost <= exact * (1 + 1e-9) + 2


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, max_size=12), st.sampled_from([0.5, 2.0, 8.0]))
def test_whatever_the_filter_admits_is_within_the_budget_by_pld(
    asked: list[dp.DpEvent], epsilon: float
) -> None:
    """A random adaptive sequence; the accountant is another one."""
    budget, spent, done = RenyiBudget(epsilon, 1e-5), NOTHING, []
    for event in asked:
        cost = record_cost(event)
        if budget.admits(spent, cost):
            spent = added(spent, cost)
            done.append(event)
    assert budget.epsilon_of(spent) <= epsilon
    composed = dp.ComposedDpEvent(done)
    assert epsilon_of(composed, 1e-5, ADD_REMOVE, interval=1e-3).epsilon <= epsilon + 1e-4


@given(
    st.lists(st.integers(0, 2**60), min_size=len(NOTHING), max_size=len(NOTHING)),
    st.lists(st.integers(0, 2**60), min_size=len(NOTHING), max_size=len(NOTHING)),
    st.sampled_from([0.5, 8.0, 1e6, 1e12]),
)
def test_many_at_once_are_decided_as_one_by_one(
    spent: list[int], cost: list[int], epsilon: float
) -> None:
    """Amounts that would overflow included."""
    budget = RenyiBudget(epsilon, 1e-6)
    rows = np.array([spent, NOTHING], dtype=np.int64)
    one, other = tuple(spent), tuple(cost)
    assert budget.admits_each(rows, other).tolist() == [
        budget.admits(one, other),
        budget.admits(NOTHING, other),
    ]
    together = budget.charge_each(rows, other)
    assert together[0].tolist() == list(added(one, other))
    assert (together >= 0).all()


def test_infinite_costs_never_wrap_around() -> None:
    """Sixteen of them in 64 bits would be negative, and buy everything."""
    budget, rows = RenyiBudget(8.0, 1e-5), np.zeros((1, len(NOTHING)), dtype=np.int64)
    endless = (2**60,) * len(NOTHING)
    for _ in range(20):
        rows = budget.charge_each(rows, endless)
    assert not budget.admits_each(rows, (1,) * len(NOTHING)).any()
    assert math.isinf(budget.epsilon_of([int(amount) for amount in rows[0]]))


def test_at_client_level_participation_is_charged_at_rate_one() -> None:
    """The owner knows that he was asked; at record level he draws the records himself."""
    event = dp.PoissonSampledDpEvent(0.01, dp.GaussianDpEvent(1.0))
    truncated = dp.TruncatedSubsampledGaussianDpEvent(1000, 0.01, 30, 1.0)
    bare = renyi_cost(dp.GaussianDpEvent(1.0), Adjacency.ZERO_OUT, unit="client")
    for sampled in (event, truncated):
        assert renyi_cost(sampled, Adjacency.ZERO_OUT, unit="client") == bare
    assert record_cost(event)[-10] < bare[-10]


def test_replacing_a_record_costs_twice_the_sensitivity() -> None:
    """σ/2; sampled events are not known under it."""
    doubled = renyi_cost(dp.GaussianDpEvent(1.0), Adjacency.REPLACE_ONE, unit="record")
    assert doubled == record_cost(dp.GaussianDpEvent(0.5))
    event = dp.PoissonSampledDpEvent(0.1, dp.GaussianDpEvent(1.0))
    with pytest.raises(PrivacyError, match="replace-one"):
        renyi_cost(event, Adjacency.REPLACE_ONE, unit="record")


@pytest.mark.parametrize(
    ("event", "unit"),
    [
        (dp.NonPrivateDpEvent(), "record"),
        (dp.GaussianDpEvent(0.0), "record"),
        (dp.LaplaceDpEvent(1.0), "record"),
        (dp.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 1.0), "record"),
        (dp.GaussianDpEvent(1.0), "none"),
    ],
)
def test_what_cannot_be_bounded_is_refused(event: dp.DpEvent, unit: str) -> None:
    """Fails closed."""
    with pytest.raises(PrivacyError):
        renyi_cost(event, Adjacency.ZERO_OUT, unit=unit)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-5), (math.inf, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0)]
)
def test_a_budget_that_limits_nothing_is_refused(epsilon: float, delta: float) -> None:
    """Infinity is no budget."""
    with pytest.raises(ConfigurationError):
        RenyiBudget(epsilon, delta)


def test_the_number_of_times_that_fit_is_exact() -> None:
    """So many fit, and not one more; nothing of what costs too much; of what is free none."""
    budget, cost = RenyiBudget(3.0, 1e-5), record_cost(dp.GaussianDpEvent(5.0))
    count = budget.times(NOTHING, cost)
    spent = tuple(count * amount for amount in cost)
    earlier = tuple((count - 1) * amount for amount in cost)
    assert budget.admits(earlier, cost)
    assert not budget.admits(spent, cost)
    assert budget.times(spent, cost) == 0
    assert budget.times(NOTHING, NOTHING) == 0


def test_nothing_spent_is_epsilon_zero() -> None:
    """And what was spent is rounded up."""
    budget = RenyiBudget(3.0, 1e-5)
    assert budget.epsilon_of(NOTHING) == 0.0
    found = budget.epsilon_of(record_cost(dp.GaussianDpEvent(5.0)))
    assert found >= epsilon_of(dp.GaussianDpEvent(5.0), 1e-5, ADD_REMOVE).epsilon
    assert round(found, 4) == found
