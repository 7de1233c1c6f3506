"""The running meter against what the report would say of the same charges."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config import RunConfig, Scalar
from shared.dp.claims import SpendingMeter
from shared.dp.events import Charge
from shared.dp.meter import RunningMeter
from shared.dp.plan import PrivacyPlan

CLIENT: dict[str, Scalar] = {
    "privacy.unit": "client",
    "population.size": 100,
    "cohort.sample_rate": 0.2,
    "privacy.noise_multiplier": 1.5,
    "privacy.delta": 1e-4,
    "rounds": 40,
}
RECORD: dict[str, Scalar] = {
    "population.size": 4,
    "training.sample_rate": 0.2,
    "privacy.noise_multiplier": 1.22,
    "rounds": 40,
    "evaluation.private_every": 3,
}
NAMES = ("a", "b", "c", "d")


def plan_of(raw: Mapping[str, Scalar]) -> PrivacyPlan:
    """The plan of a configuration."""
    return PrivacyPlan.from_config(RunConfig.from_run_config(raw))


def charge(plan: PrivacyPlan, number: int, clients: tuple[str, ...], kind: str = "train") -> Charge:
    """One exchange."""
    event = plan.charge_event(kind, number, 1)
    assert event is not None
    return Charge(round_number=number, attempt=1, clients=clients, event=event, kind=kind)


@pytest.mark.parametrize("raw", [CLIENT, RECORD])
def test_up_to_16_rounds_it_is_the_number_worked_out_from_all_charges(
    raw: Mapping[str, Scalar],
) -> None:
    """To the last digit; afterwards at least that, and by little more."""
    plan = plan_of(raw)
    meter, exact, charges = RunningMeter(plan), SpendingMeter(plan), list[Charge]()
    for number in range(1, 41):
        charges.append(charge(plan, number, NAMES))
        meter.add(charges[-1])
        if number in (1, 4, 16):
            assert meter.epsilon() == exact.after(charges)
        elif number in (17, 33, 39, 40):
            assert exact.after(charges) <= meter.epsilon() <= 1.08 * exact.after(charges)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from(NAMES))), max_size=6))
def test_it_is_of_the_site_that_was_asked_most(asked: list[tuple[bool, set[str]]]) -> None:
    """In whatever order and of whatever kind, also after charges that were only tried."""
    plan = plan_of(RECORD)
    meter, charges = RunningMeter(plan), list[Charge]()
    for number, (evaluated, clients) in enumerate(asked, start=1):
        kind, place = ("evaluate", 3 * number) if evaluated else ("train", number)
        charges.append(charge(plan, place, tuple(sorted(clients)), kind))
        assert meter.would_exceed(charges[-1], math.inf) is None
        meter.add(charges[-1])
    assert meter.epsilon() == SpendingMeter(plan).after(charges)


def test_it_says_what_would_be_too_much_and_forgets_it_again() -> None:
    """More rounds than planned, at a budget that the plan fills."""
    plan = plan_of({**CLIENT, "rounds": 3})
    meter = RunningMeter(plan)
    planned = plan_of({**CLIENT, "rounds": 4})
    budget = SpendingMeter(planned).after([charge(planned, n, NAMES) for n in range(1, 5)])
    for number in range(1, 5):
        assert meter.would_exceed(charge(planned, number, NAMES), budget) is None
        meter.add(charge(planned, number, NAMES))
    before = meter.epsilon()
    spent = meter.would_exceed(charge(planned, 1, NAMES), budget)
    assert spent is not None
    assert spent > budget
    assert meter.epsilon() == before


def test_a_plan_above_the_budget_is_found_out_at_the_round_that_exceeds_it() -> None:
    """Nothing is let through because the plan holds it."""
    plan = plan_of(CLIENT)
    meter = RunningMeter(plan)
    first = charge(plan, 1, NAMES)
    budget = SpendingMeter(plan).after([first])
    assert meter.would_exceed(first, budget) is None
    meter.add(first)
    assert meter.would_exceed(charge(plan, 2, NAMES), budget) is not None


def test_before_the_first_charge_it_is_zero_and_without_privacy_infinite() -> None:
    """The edges."""
    assert RunningMeter(plan_of(CLIENT)).epsilon() == 0.0
    bare = plan_of({"privacy.unit": "none"})
    meter = RunningMeter(bare)
    assert math.isinf(meter.epsilon())
    assert meter.would_exceed(charge(bare, 1, NAMES), 1.0) is None
