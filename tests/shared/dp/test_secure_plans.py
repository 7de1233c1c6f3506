"""Plans of secure aggregation: what goes together, what is promised to whom."""

import math
from dataclasses import replace
from typing import Any

import pytest
from dp_accounting import dp_event as dp

from shared.config import RunConfig, Scalar
from shared.dp.chosen_aggregation import aggregation_of
from shared.dp.claims import planned_claims
from shared.dp.integer_event import IntegerNoiseDpEvent
from shared.dp.observers import is_protected, rests_on, why_nothing
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, MessageError

BIG: dict[str, Scalar] = {"privacy.epsilon_budget": 1e4, "rounds": 3, "privacy.delta": 1e-3}
CLIENT: dict[str, Scalar] = {"privacy.unit": "client", "cohort.sample_rate": 0.5}
SHARED: dict[str, Scalar] = {"privacy.noise": "distributed"}
ON: dict[str, Scalar] = {"secure_aggregation": "on"}
SERVER = ("server_each_update", "server_secagg_sum")


def config_of(*parts: dict[str, Scalar]) -> RunConfig:
    """Of all of them together."""
    merged: dict[str, Any] = dict(BIG)
    for part in parts:
        merged |= part
    return RunConfig.from_run_config(merged)


def plan_of(*parts: dict[str, Scalar]) -> PrivacyPlan:
    """The plan."""
    return PrivacyPlan.from_config(config_of(*parts))


@pytest.mark.parametrize(
    ("parts", "unprotected"),
    [
        ((ON,), set()),
        ((SHARED,), {SERVER[0]}),
        ((CLIENT, ON), set(SERVER)),
        ((CLIENT, SHARED), {SERVER[0]}),
        ((ON, {"privacy.unit": "none"}), {*SERVER, "every_global_model", "released_model"}),
    ],
    ids=["records", "records, shared", "clients", "clients, shared", "none"],
)
def test_what_is_promised_to_whom(
    parts: tuple[dict[str, Scalar], ...], unprotected: set[str]
) -> None:
    """Infinite for exactly those between whom and a unit nothing stands."""
    plan = plan_of(*parts)
    claims = {claim.adversary: claim for claim in planned_claims(plan)}
    assert set(claims) == {*SERVER, "every_global_model", "released_model"}
    assert {name for name, claim in claims.items() if math.isinf(claim.epsilon)} == unprotected
    for name, claim in claims.items():
        assert is_protected(plan, name) == (name not in unprotected)
        text = why_nothing(plan, name) if name in unprotected else rests_on(plan)
        assert text in claim.statement


def test_without_masks_nobody_sees_sums_alone() -> None:
    """And nobody is told so."""
    assert SERVER[1] not in {claim.adversary for claim in planned_claims(plan_of())}


@pytest.mark.parametrize("noise", [ON, SHARED])
def test_a_cohort_that_is_told_amplifies_nothing(noise: dict[str, Scalar]) -> None:
    """Masks name the cohort to all in it; the server's question has no amplification either."""
    plan = plan_of(CLIENT, noise, {"evaluation.private_every": 1})
    kind = IntegerNoiseDpEvent if noise is SHARED else dp.GaussianDpEvent
    events = [event for event, _ in plan.events().values()]
    assert [type(event) for event in events] == [kind, kind]
    sampled = plan_of(CLIENT).mechanism.round_event()
    assert type(sampled) is not dp.GaussianDpEvent


@pytest.mark.parametrize("parts", [(ON,), (SHARED,), (CLIENT, SHARED), (CLIENT, ON)])
def test_the_text_of_a_plan_is_the_plan(parts: tuple[dict[str, Scalar], ...]) -> None:
    """Its aggregation too, and nothing in it may be left out."""
    plan = plan_of(*parts)
    assert PrivacyPlan.parse(plan.canonical()) == plan
    with pytest.raises(MessageError):
        PrivacyPlan.parse(plan.canonical().replace('"bits":0,', ""))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (SHARED | {"secure_aggregation": "off"}, "needs secure_aggregation"),
        (SHARED | {"privacy.unit": "none"}, "unit of privacy"),
        (SHARED | {"training.steps": 2}, r"training\.steps"),
        (SHARED | {"training.optimizer": "adam"}, "sgd"),
        (CLIENT | ON | {"privacy.clipping": "adaptive"}, "fixed"),
        (CLIENT | ON | {"privacy.correlation": "tree", "cohort.sample_rate": 1.0}, "none"),
        (ON | {"population.size": 2}, "at least 3"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict[str, Scalar], message: str) -> None:
    """Before anything runs, by name."""
    with pytest.raises(ConfigurationError, match=message):
        plan_of(changed)


def test_mechanism_and_masks_go_together() -> None:
    """No share of noise without masks, no told cohort without them, none untold with them."""
    shared, masked = plan_of(SHARED), plan_of(CLIENT, ON)
    for plan in (
        lambda: replace(shared, aggregation=None),
        lambda: replace(masked, aggregation=None),
        lambda: replace(plan_of(CLIENT), aggregation=masked.aggregation),
        lambda: replace(plan_of(CLIENT).mechanism, distributed=True),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError):
            plan()


def test_bounds_of_an_update_follow_from_the_training() -> None:
    """lr·C at record level with one shared step; C at client level; what is asked, if it is."""
    record = aggregation_of(config_of(SHARED))
    assert record is not None
    assert (record.signal_bound, record.unit_bound) == (3.0, 0.5 * 6.0 / 150)
    client = aggregation_of(config_of(CLIENT, SHARED))
    assert client is not None
    assert client.signal_bound == client.unit_bound == 0.5
    assert aggregation_of(config_of()) is None
    asked = aggregation_of(config_of(ON, {"aggregation.update_bound": 7.0}))
    assert asked is not None
    assert asked.signal_bound == 7.0
