"""The plan says what of its training a client sends and keeps, if that is not the usual."""

import json
from typing import Any

import pytest

from server.report.replan import Replan
from shared.config import RunConfig, Scalar
from shared.dp.mechanisms import ClientPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, MessageError

COMPRESSED: dict[str, Scalar] = {"training.compression": "top_k"}
LOCAL: dict[str, Scalar] = {"training.local_layers": "head,norm"}
SCAFFOLD: dict[str, Scalar] = {"training.algorithm": "scaffold", "training.steps": 3}
CLIENT: dict[str, Scalar] = {
    "privacy.unit": "client", "cohort.sample_rate": 0.1, "population.size": 1000,
    "privacy.delta": 1e-4,
}  # fmt: skip


def plan(*parts: dict[str, Scalar]) -> PrivacyPlan:
    """Of a configuration."""
    return PrivacyPlan.from_config(config(*parts))


def config(*parts: dict[str, Scalar]) -> RunConfig:
    """Of these keys."""
    return RunConfig.from_run_config({key: value for part in parts for key, value in part.items()})


@pytest.mark.parametrize("unit", [{}, CLIENT, {"privacy.unit": "none"}])
@pytest.mark.parametrize("asked", [LOCAL, SCAFFOLD, LOCAL | SCAFFOLD, COMPRESSED])
def test_the_plan_says_it_and_is_found_again(
    unit: dict[str, Scalar], asked: dict[str, Scalar]
) -> None:
    """In its canonical form, in the digest, and in the report's second opinion."""
    made = plan(unit, asked)
    assert PrivacyPlan.parse(made.canonical()) == made
    assert made.digest() != plan(unit, {"training.steps": 3} if asked == SCAFFOLD else {}).digest()
    assert Replan(config(unit, asked).flat()).digest == made.digest()


def test_a_usual_plan_is_the_text_that_it_was() -> None:
    """Runs of before can be checked still."""
    assert "update" not in json.loads(plan().canonical())
    assert plan().update is None


def test_clients_that_keep_something_are_drawn_independently() -> None:
    """No cap ties the draw of one to the others'."""
    usual, keeping = plan(CLIENT).mechanism, plan(CLIENT, LOCAL).mechanism
    assert isinstance(usual, ClientPrivacy)
    assert isinstance(keeping, ClientPrivacy)
    assert (usual.cap, keeping.cap) == (157, 1000)
    assert plan(CLIENT, LOCAL).cap == Replan(config(CLIENT, LOCAL).flat()).cap == 1000


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (LOCAL | {"privacy.noise": "distributed"}, "privacy.noise"),
        (SCAFFOLD | {"privacy.noise": "distributed", "training.steps": 1}, "privacy.noise"),
        (SCAFFOLD | {"training.steps": 0, "training.epochs": 1, "privacy.unit": "none"}, "steps"),
        (SCAFFOLD | {"training.momentum": 0.5}, "plain sgd"),
        (SCAFFOLD | {"training.optimizer": "adam"}, "plain sgd"),
        (SCAFFOLD | {"training.proximal_term": 0.5}, "plain sgd"),
        (SCAFFOLD | {"server.aggregation": "median"}, "server.aggregation"),
        ({"training.local_layers": "norm,head"}, "training.local_layers"),
        ({"training.algorithm": "fedprox"}, "training.algorithm"),
        (COMPRESSED | {"secure_aggregation": "on", "privacy.unit": "client"}, "secure_aggregation"),
        (COMPRESSED | CLIENT | {"privacy.clipping": "adaptive"}, "privacy.clipping"),
        (COMPRESSED | {"server.norm_bound": 1.0}, "norm_bound"),
        ({"training.compression": "zip"}, "training.compression"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Scalar], why: str) -> None:
    """Before anything begins."""
    with pytest.raises(ConfigurationError, match=why):
        plan(asked)


@pytest.mark.parametrize(
    "changes", [{"local_layers": 5}, {"algorithm": "other"}, {"more": 1}, {"local_layers": "b,a"}]
)
def test_a_plan_of_other_values_is_none(changes: dict[str, Any]) -> None:
    """As a peer might send it."""
    content = json.loads(plan(LOCAL).canonical())
    content["update"] |= changes
    with pytest.raises(MessageError):
        PrivacyPlan.parse(json.dumps(content))
