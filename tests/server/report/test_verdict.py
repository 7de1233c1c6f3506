"""The worst fact decides; a seed, or nothing promised, is never private."""

from dataclasses import replace
from typing import Any

import pytest

from server.report.assumptions import Facts, assumptions
from server.report.verdict import verdict
from shared.config import Scalar
from shared.dp.claim import Claim
from tests.server.report.outcomes import UNITS, outcome


def decided(changes: dict[str, Scalar]) -> dict[str, Any]:
    """The verdict on a toy run."""
    found = outcome(changes)
    return verdict(found.plan, found.claims, Facts(seeded=found.config.seeded))


def codes(found: dict[str, Any]) -> set[str]:
    """Of its problems."""
    return {problem["code"] for problem in found["problems"]}


@pytest.mark.parametrize(
    ("unit", "seed", "level"),
    [
        ("record", "os", "guaranteed_with_assumptions"),
        ("client", "os", "guaranteed_with_assumptions"),
        ("none", "os", "not_private"),
        ("record", 5, "not_private"),
        ("client", 5, "not_private"),
        ("none", 5, "not_private"),
    ],
)
def test_the_level_is_that_of_the_worst_fact(unit: str, seed: int | str, level: str) -> None:
    """Violated or unpromised: not private. Assumed: with assumptions."""
    assert decided(UNITS[unit] | {"seed": seed})["level"] == level


def test_a_seeded_run_says_clearly_that_its_noise_is_predictable() -> None:
    """Against whoever knows the seed nothing holds."""
    found = decided({"seed": 5})
    [problem] = [p for p in found["problems"] if p["code"] == "SEEDED_RANDOMNESS"]
    assert problem["severity"] == "critical"
    assert "predict the noise" in problem["text"]
    assert "void for whoever knows the seed" in found["one_line"]
    assert "SEEDED_RANDOMNESS" not in codes(decided({"seed": "os"}))


def test_a_run_without_privacy_says_so() -> None:
    """It cannot be read as anything else."""
    found = decided(UNITS["none"] | {"seed": "os"})
    assert "no differential privacy" in found["one_line"]
    assert codes(found) == {"NO_PRIVACY"}


@pytest.mark.parametrize(
    ("unit", "assumed"), [("record", "client_code"), ("client", "trusted_server")]
)
def test_what_nothing_enforces_is_assumed(unit: str, assumed: str) -> None:
    """Unmodified clients at record level, an honest server at client level."""
    for seeded in (False, True):
        found = assumptions(outcome(UNITS[unit]).plan, Facts(seeded=seeded))
        statuses = {a.id: a.status for a in found}
        assert statuses[assumed] == "assumed"
        assert statuses["secret_randomness"] == ("violated" if seeded else "enforced")


def test_the_line_names_who_is_not_covered() -> None:
    """At client level, the server."""
    assert "against everybody but the server" in decided(UNITS["client"])["one_line"]
    assert "against every observer" in decided(UNITS["record"])["one_line"]


def with_numbers(epsilon: float, **check: Any) -> dict[str, Any]:
    """The verdict on a run of that epsilon."""
    found = outcome(UNITS["record"] | {"seed": "os"})
    claims: list[Claim] = [
        replace(claim, epsilon=epsilon, cross_check=claim.cross_check | check)
        for claim in found.claims
    ]
    return verdict(found.plan, claims, Facts(seeded=False))


ALWAYS = {"TUNING_NOT_CHARGED"}


def test_a_weak_guarantee_is_called_weak() -> None:
    """Above epsilon 10, and no digit is rounded away."""
    assert codes(with_numbers(10.0)) == ALWAYS
    weak = with_numbers(1234.5678)
    assert codes(weak) == ALWAYS | {"EPSILON_HIGH", "BUDGET_NEARLY_SPENT"}
    assert "1234.5678" in weak["one_line"]


def test_accountants_that_disagree_are_a_problem() -> None:
    """PLD above RDP cannot be but for numerical trouble."""
    assert codes(with_numbers(1.0, agree=False)) == ALWAYS | {"PLD_ABOVE_RDP"}


def test_a_budget_that_is_nearly_spent_is_said() -> None:
    """So that a next run is not planned on it."""
    assert "BUDGET_NEARLY_SPENT" in codes(with_numbers(980.0))
