"""Exposures: the worst of any unit is among them, and no more than needed are computed."""

from dp_accounting import dp_event as dp

from shared.config import RunConfig
from shared.dp.events import Charge
from shared.dp.exposure import exposures, planned_exposure, within_plan
from shared.dp.plan import PrivacyPlan

PLAN = PrivacyPlan.from_config(RunConfig(rounds=3))
STEP = PLAN.mechanism.round_event()
OTHER = dp.GaussianDpEvent(3.0)


def charge(number: int, event: dp.DpEvent, *clients: str) -> Charge:
    """One round."""
    return Charge(round_number=number, attempt=1, clients=clients, event=event)


def test_of_equal_rounds_only_the_most_asked_client_is_kept() -> None:
    """A thousand clients cost one epsilon."""
    found = exposures(PLAN, [charge(1, STEP, "a", "b"), charge(2, STEP, "b"), charge(3, STEP)])
    assert found == (((STEP, 2),),)


def test_of_unequal_rounds_each_different_client_is_kept() -> None:
    """Which of them is the worst is for the accountant to say."""
    found = exposures(PLAN, [charge(1, STEP, "a", "b"), charge(2, OTHER, "b", "c")])
    assert set(found) == {
        ((STEP, 1), (OTHER, 0)),
        ((STEP, 1), (OTHER, 1)),
        ((STEP, 0), (OTHER, 1)),
    }


def test_nobody_asked_is_exposed_to_nothing() -> None:
    """There is always one exposure."""
    assert exposures(PLAN, []) == exposures(PLAN, [charge(1, STEP)]) == ((),)


def test_what_is_within_the_plan() -> None:
    """Its own events, and no more of them than it has rounds."""
    assert within_plan(PLAN, (planned_exposure(PLAN), ()))
    assert not within_plan(PLAN, (((STEP, 4),),))
    assert not within_plan(PLAN, (((STEP, 1), (OTHER, 1)),))
