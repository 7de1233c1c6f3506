"""The report follows its schema, and its numbers are those of the charges."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from server.report import build
from server.report.build import build_report
from shared.dp.claims import claims_so_far
from tests.server.report.outcomes import EVERYBODY, UNITS, outcome

SCHEMA = json.loads((Path(build.__file__).parent / "schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())


def problems(report: dict[str, Any]) -> list[str]:
    """What the schema says against it."""
    return [error.message for error in VALIDATOR.iter_errors(report)]


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("seed", [5, "os"])
def test_every_report_follows_the_schema_and_is_strict_json(unit: str, seed: int | str) -> None:
    """For each unit of privacy, seeded or not."""
    report = build_report(outcome(UNITS[unit] | {"seed": seed}), "run-1")
    assert problems(json.loads(json.dumps(report, allow_nan=False))) == []


@pytest.mark.parametrize("block", SCHEMA["required"])
def test_a_report_without_a_block_does_not_follow_the_schema(block: str) -> None:
    """The test above can fail."""
    report = build_report(outcome(), "run-1")
    del report[block]
    assert problems(report)


def test_the_numbers_are_those_of_the_charges_not_of_the_plan() -> None:
    """One round charged of two planned."""
    found = outcome(cohorts=[EVERYBODY])
    report = build_report(found, "run-1")
    for told, claim in zip(report["claims"], claims_so_far(found.plan, found.charges), strict=True):
        expected = claim.to_json()
        plain = expected.keys() - {"statement", "cross_check"}
        assert all(told[key] == expected[key] for key in plain)
        assert told["statement"].startswith(str(expected["statement"]))
    released = report["claims"][-1]
    assert 0 < released["epsilon"] < released["planned_epsilon"]
    assert report["ledger"]["entries"] == 1
    assert report["ledger"]["closing_epsilon"] == released["epsilon"]
    assert report["mechanisms"][0]["steps"] == 1


def test_at_client_level_the_server_row_promises_nothing() -> None:
    """It holds each clipped update before the noise."""
    by_observer = {c["adversary"]: c for c in build_report(outcome(), "run-1")["claims"]}
    assert by_observer["server_each_update"]["epsilon"] == "inf"
    assert isinstance(by_observer["released_model"]["epsilon"], float)


@pytest.mark.parametrize("unit", ["client", "sampled client"])
def test_at_client_level_the_report_does_not_tell_who_was_asked(unit: str) -> None:
    """Amplification rests on the secrecy of the draw."""
    cohorts = [("site-1",), ()]
    text = json.dumps(build_report(outcome(UNITS[unit], cohorts=cohorts), "run-1"))
    assert "site-" not in text
    other = build_report(outcome(UNITS[unit], cohorts=[("site-0", "site-2"), ()]), "run-1")
    assert json.loads(text) | {"created": ""} == other | {"created": ""}


def test_at_record_level_each_client_is_told_its_own_spending() -> None:
    """Who was asked less has spent less; the worst are named first."""
    cohorts = [EVERYBODY, ("site-2",)]
    clients = build_report(outcome(UNITS["record"], cohorts=cohorts), "run-1")["clients"]
    first, *others = clients["per_client"]
    assert (first["client"], first["rounds"]) == ("site-2", 2)
    assert first["spent"] == clients["epsilon_max"]
    assert [other["rounds"] for other in others] == [1, 1]
    assert all(0 < other["spent"] < first["spent"] for other in others)


def test_without_privacy_every_number_is_infinite() -> None:
    """And every access is unprotected."""
    report = build_report(outcome(UNITS["none"]), "run-1")
    assert {claim["epsilon"] for claim in report["claims"]} == {"inf"}
    assert {access["protected"] for access in report["data_accesses"]} == {"none"}
    assert report["mechanisms"][0]["noise_multiplier"] == 0.0
    assert report["mechanisms"][0]["clip_norm"] == "none"


@pytest.mark.parametrize(("simulated", "word"), [(True, "simulation"), (False, "deployment")])
def test_a_simulation_is_called_one(simulated: bool, word: str) -> None:
    """By the grid that carried it."""
    run = build_report(outcome(simulated=simulated), "run-1")["run"]
    assert run["execution"] == word
    assert run["plan_hash"] == f"sha256:{outcome().plan.digest()}"


def test_floating_point_is_said_not_to_be_protected() -> None:
    """Naive Gaussian noise in double precision."""
    implementation = build_report(outcome(), "run-1")["implementation"]
    assert implementation["float_protection"].startswith("none")
    assert "seeded_simulation" in implementation["rng"]
