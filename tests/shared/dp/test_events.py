"""Events and charges survive a trip through JSON, and nothing else is taken for one."""

import json

import pytest
from dp_accounting import dp_event as dp

from shared.dp.events import Charge, event_from_json, event_to_json
from shared.errors import PrivacyError, StateError

NONE = {"kind": "none"}
EVENTS = [
    dp.NoOpDpEvent(),
    dp.NonPrivateDpEvent(),
    dp.GaussianDpEvent(1.22),
    dp.PoissonSampledDpEvent(0.2, dp.GaussianDpEvent(1.22)),
    dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(0.2, dp.GaussianDpEvent(1.22)), 60),
    dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 157, 1.0),
    dp.ComposedDpEvent([dp.GaussianDpEvent(1.0), dp.NoOpDpEvent()]),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_json(event: dp.DpEvent) -> None:
    """What is read is what was released."""
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_an_event_that_is_never_made_is_not_accounted() -> None:
    """Unknown means refused, not free."""
    with pytest.raises(PrivacyError, match="LaplaceDpEvent"):
        event_to_json(dp.LaplaceDpEvent(1.0))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"kind": "laplace"},
        {"kind": "gaussian"},
        {"kind": "gaussian", "noise_multiplier": "1.22"},
        {"kind": "gaussian", "noise_multiplier": True},
        {"kind": "self_composed", "count": None, "event": {"kind": "none"}},
        3,
    ],
)
def test_other_content_is_no_event(content: object) -> None:
    """A missing or unknown kind, or a missing number."""
    with pytest.raises(StateError, match="accounting event"):
        event_from_json(content)  # type: ignore[arg-type]


def test_a_charge_survives_json() -> None:
    """Who was asked, and for what."""
    charge = Charge(round_number=3, attempt=2, clients=("a", "b"), event=EVENTS[3])
    assert Charge.from_json(json.loads(json.dumps(charge.to_json()))) == charge
    assert charge.key == ("train", 3, 2)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"round_number": "x", "attempt": 1, "clients": [], "event": {"kind": "none"}},
        {"kind": "train", "round_number": 1, "attempt": 1, "clients": "abc", "event": NONE},
        {"kind": "train", "round_number": 1, "attempt": 1, "clients": [7], "event": NONE},
        {"kind": "leak", "round_number": 1, "attempt": 1, "clients": [], "event": {"kind": "none"}},
    ],
)
def test_other_content_is_no_charge(content: dict[str, object]) -> None:
    """A ledger line of another form stops the run."""
    with pytest.raises(StateError, match="charge"):
        Charge.from_json(content)
