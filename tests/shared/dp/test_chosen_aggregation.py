"""From keys to a plan of secure aggregation: what cannot be shared is refused, all else is kept."""

import json
from dataclasses import replace

import pytest

from shared.config import RunConfig
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, MessageError
from shared.secagg.plan import AggregationPlan

Raw = dict[str, str | int | float]
MASKED: Raw = {"secure_aggregation": "on"}
SHARED: Raw = {"privacy.noise": "distributed"}
CLIENT: Raw = {"privacy.unit": "client", "privacy.clipping_norm": 0.75}
RECORD: Raw = {
    "privacy.clipping_norm": 0.5, "training.learning_rate": 0.2, "training.batch_size": 50,
    "training.momentum": 0.5, "privacy.noise_multiplier": 2.0,
}  # fmt: skip
NONE: Raw = {"privacy.unit": "none"}


def plan(*changes: Raw) -> PrivacyPlan:
    """A plan with these changes, in their order."""
    raw: Raw = {}
    for change in changes:
        raw |= change
    return PrivacyPlan.from_config(RunConfig.from_run_config(raw))


def bounds(*changes: Raw) -> tuple[float, float, float]:
    """Of an update, of its own noise, and of what one unit moves it by."""
    found = plan(*changes).aggregation
    assert found is not None
    return found.signal_bound, found.coordinate_noise, found.unit_bound


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((SHARED, {"secure_aggregation": "off"}), "needs secure_aggregation"),
        ((CLIENT, MASKED, {"privacy.clipping": "adaptive"}), "privacy.clipping = 'fixed'"),
        ((CLIENT, SHARED, {"privacy.clipping": "adaptive"}), "fixed clip"),
        ((CLIENT, MASKED, {"privacy.correlation": "tree"}), "privacy.correlation = 'none'"),
        ((NONE, SHARED), "needs a unit of privacy"),
        ((RECORD, SHARED, {"training.steps": 2}), "training.steps = 1"),
        ((RECORD, SHARED, {"training.optimizer": "adam"}), "training.optimizer"),
        ((MASKED, {"population.size": 2}), "at least 3"),
        ((MASKED, {"population.size": 3, "aggregation.dropped_fraction": 0.4,
                   "aggregation.corrupt_fraction": 0.4}), "fewer than 2 honest"),
        ((MASKED, {"aggregation.corrupt_fraction": 0.49, "aggregation.dropped_fraction": 0.49}),
         "no committee"),
        ((MASKED, {"cohort.present_at_start": 0.1}), "present_at_start.*2 of 20.*at least 3"),
        ((MASKED, {"cohort.present_at_start": 0.15}), "present_at_start.*fewer than 2 honest"),
        ((MASKED, {"aggregation.bits": 17}), "one of 0, 16, 20, 24, 32"),
        ((MASKED, {"aggregation.noise_family": "laplace"}), "discrete_gaussian"),
        ((MASKED, {"aggregation.helpers": "a,b"}), "at least 3 names, ascending"),
        ((MASKED, {"aggregation.helpers": "a,c,b"}), "at least 3 names, ascending"),
        ((MASKED, {"aggregation.helpers": "a,b,b"}), "at least 3 names, ascending"),
        ((MASKED, {"aggregation.helpers": "a,b,,c"}), "at least 3 names, ascending"),
        ((MASKED, {"aggregation.helpers": "a,b,c", "cohort.sample_rate": 0.5}),
         "cohort.sample_rate = 1.0"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_summed_or_shared_is_refused(changes: tuple[Raw, ...], message: str) -> None:
    """Before anything runs, with the key and what it must be."""
    with pytest.raises(ConfigurationError, match=message):
        plan(*changes)


def test_shared_noise_turns_secure_aggregation_on() -> None:
    """And nothing else does unasked."""
    assert plan(CLIENT).aggregation is None
    assert plan(CLIENT, {"secure_aggregation": "off"}).aggregation is None
    assert plan(RECORD, MASKED).aggregation is not None
    assert plan(NONE, MASKED).aggregation is not None
    for unit in (RECORD, CLIENT):
        shared = plan(unit, SHARED)
        assert shared.distributed
        assert shared.aggregation is not None
        assert not plan(unit, MASKED).distributed
    assert not plan(NONE, MASKED).distributed


def test_bounds_follow_from_the_training() -> None:
    """Signal, own noise, unit: by hand."""
    assert bounds(CLIENT, SHARED) == (0.75, 0.0, 0.75)
    assert bounds(CLIENT, MASKED) == (0.75, 0.0, 0.0)
    assert bounds(NONE, MASKED) == (100.0, 0.0, 0.0)
    # 0.2 / (1 - 0.5) · 0.5; one record: 0.5 · 0.2 / 50.
    assert bounds(RECORD, SHARED) == pytest.approx((0.2, 0.0, 0.002))
    # Twice that; own noise 0.4 · 2 · 0.5 / 50, over four steps twice as much.
    assert bounds(RECORD, MASKED) == pytest.approx((0.4, 0.008, 0.0))
    longer: Raw = {"training.steps": 4}
    assert bounds(RECORD, MASKED, longer) == pytest.approx((1.6, 0.016, 0.0))
    adam: Raw = {"training.optimizer": "adam", "training.steps": 3}
    assert bounds(RECORD, MASKED, adam) == pytest.approx((1.0, 2 * 0.4 * 3, 0.0))
    assert bounds(RECORD, SHARED, {"aggregation.update_bound": 0.3})[0] == 0.3


@pytest.mark.parametrize("unit", [RECORD, CLIENT], ids=["record", "client"])
@pytest.mark.parametrize("change", [MASKED, SHARED], ids=["masked", "shared"])
def test_a_plan_with_aggregation_and_its_text_are_the_same_thing(unit: Raw, change: Raw) -> None:
    """parse(canonical) is the plan; the digest is another one without it."""
    found = plan(unit, change)
    assert PrivacyPlan.parse(found.canonical()) == found
    assert PrivacyPlan.parse(found.canonical()).digest() == found.digest()
    assert found.digest() != plan(unit).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"aggregation.corrupt_fraction": 0.2},
        {"aggregation.dropped_fraction": 0.2},
        {"aggregation.bits": 24},
        {"aggregation.update_bound": 3.0},
        {"aggregation.noise_family": "skellam"},
        {"aggregation.helpers": "a,b,c"},
        {"privacy.noise": "whole", "secure_aggregation": "on"},
    ],
    ids=str,
)
def test_whatever_shared_noise_rests_on_changes_the_digest(change: Raw) -> None:
    """No promise can be changed under the same name."""
    assert plan(RECORD, SHARED, change).digest() != plan(RECORD, SHARED).digest()


def spoilt(**changes: object) -> str:
    """The text of a plan with shared noise whose aggregation is another."""
    content = json.loads(plan(RECORD, SHARED).canonical())
    return json.dumps(content | {"aggregation": content["aggregation"] | changes})


@pytest.mark.parametrize(
    "text",
    [
        spoilt(extra=1),
        spoilt(bits=20.0),
        spoilt(bits=8),
        spoilt(family="gaussian"),
        spoilt(corrupt_fraction=0.5),
        spoilt(signal_bound=0.0),
        spoilt(unit_bound=-1.0),
        spoilt(helpers="a"),
        spoilt(helpers=["a", "b", "c"]),
        json.dumps(json.loads(plan(RECORD, SHARED).canonical()) | {"aggregation": None}),
        json.dumps(json.loads(plan(RECORD, SHARED).canonical()) | {"aggregation": []}),
    ],
)
def test_an_aggregation_that_is_none_is_refused(text: str) -> None:
    """Another field, type or domain; shares of noise without masks."""
    with pytest.raises(MessageError):
        PrivacyPlan.parse(text)


def test_mechanism_and_aggregation_go_together() -> None:
    """A share hides nobody but in a sum; masks tell who is asked."""
    for whole, part in (
        (plan(RECORD, SHARED), None),
        (plan(CLIENT, MASKED), None),
        (plan(CLIENT), plan(CLIENT, MASKED).aggregation),
    ):
        with pytest.raises(ConfigurationError, match="do not go together"):
            replace(whole, aggregation=part)
    hidden = plan(CLIENT, MASKED).mechanism
    assert isinstance(hidden, ClientPrivacy)
    with pytest.raises(ConfigurationError, match="a cohort that is told"):
        replace(hidden, distributed=True, cohort_is_told=False)
    with pytest.raises(ConfigurationError, match="fixed clip"):
        replace(hidden, distributed=True, count_noise_multiplier=5.0)
    assert isinstance(plan(RECORD, MASKED).mechanism, RecordPrivacy)
    assert isinstance(plan(RECORD, MASKED).aggregation, AggregationPlan)
