"""Exposures: the worst of any unit is among them, and no more than needed are computed."""

from collections import Counter

from dp_accounting import dp_event as dp
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config import RunConfig
from shared.dp.events import Charge
from shared.dp.exposure import Exposure, exposures, planned_exposure, within_plan
from shared.dp.plan import PrivacyPlan

PLAN = PrivacyPlan.from_config(RunConfig(rounds=3))
STEP = PLAN.mechanism.round_event()
OTHER = dp.GaussianDpEvent(3.0)
THIRD = dp.GaussianDpEvent(5.0)
EVENTS = tuple(map(repr, (STEP, OTHER, THIRD)))


def charge(number: int, event: dp.DpEvent, *clients: str) -> Charge:
    """One round."""
    return Charge(round_number=number, attempt=1, clients=clients, event=event)


def test_of_equal_rounds_only_the_most_asked_client_is_kept() -> None:
    """A thousand clients cost one epsilon."""
    found = exposures(PLAN, [charge(1, STEP, "a", "b"), charge(2, STEP, "b"), charge(3, STEP)])
    assert found == (((STEP, 2),),)


def test_of_unequal_rounds_each_client_that_may_be_the_worst_is_kept() -> None:
    """Which of them is, is for the accountant to say; "d" is surely not."""
    found = exposures(
        PLAN,
        [
            charge(1, STEP, "a", "b", "d"),
            charge(2, STEP, "a"),
            charge(3, OTHER, "b", "c"),
            charge(4, OTHER, "c"),
        ],
    )
    assert set(found) == {
        ((STEP, 2), (OTHER, 0)),
        ((STEP, 1), (OTHER, 1)),
        ((STEP, 0), (OTHER, 2)),
    }


@settings(max_examples=50)
@given(st.sets(st.tuples(*[st.integers(0, 6)] * 3), max_size=12))
def test_what_is_left_out_is_no_more_than_something_kept(rows: set[tuple[int, ...]]) -> None:
    """And nothing that is kept is no more than another."""
    charges = [
        charge(number, event, name)
        for name, row in zip("abcdefghijkl", rows, strict=False)
        for event, count in zip((STEP, OTHER, THIRD), row, strict=True)
        for number in range(count)
    ]
    found = exposures(PLAN, charges)
    kept = {tuple(Counter(dict(enumerate_events(row)))[e] for e in EVENTS) for row in found}
    for row in rows:
        assert any(all(a >= b for a, b in zip(k, row, strict=True)) for k in kept)
    assert not any(
        a != b and all(x >= y for x, y in zip(a, b, strict=True)) for a in kept for b in kept
    )


def enumerate_events(row: Exposure) -> list[tuple[str, int]]:
    """An exposure as pairs whose first can be a key."""
    return [(repr(event), count) for event, count in row]


def test_nobody_asked_is_exposed_to_nothing() -> None:
    """There is always one exposure."""
    assert exposures(PLAN, []) == exposures(PLAN, [charge(1, STEP)]) == ((),)


def test_what_is_within_the_plan() -> None:
    """Its own events, and no more of them than it has rounds."""
    assert within_plan(PLAN, (planned_exposure(PLAN), ()))
    assert not within_plan(PLAN, (((STEP, 4),),))
    assert not within_plan(PLAN, (((STEP, 1), (OTHER, 1)),))
