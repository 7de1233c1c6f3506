"""Every form of a report carries the report's own numbers, and only those."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from server.report.facts import claim_row, lower_bound, percent_up
from server.report.forms import FORMS, write_forms
from server.report.registry import registry_record, registry_yaml
from server.run_folder import RunFolder
from tests.server.report.outcomes import UNITS
from tests.server.report.reports import CANARIES, hostile, report

SHOWN = ("html", "markdown", "terminal")

# opendp/deployments-registry-data at 3e9c812, schemas/deployments-schema.yaml: its required fields,
# closed objects and enumerations, without its texts.
TEXT, CLOSED = {"type": "string"}, {"type": "object", "additionalProperties": False}
REGISTRY = CLOSED | {
    "required": ["url_slug", "status", "tier", "deployment"],
    "properties": {
        "url_slug": TEXT,
        "status": {"enum": ["Converted", "Draft", "Pending", "Changes Required", "Approved"]},
        "tier": {"enum": [1, 2, 3]},
        "deployment": CLOSED
        | {
            "required": ["basic"],
            "properties": {
                "basic": CLOSED
                | {
                    "required": ["name", "data_curators", "description", "intended_use",
                                 "data_product_type", "data_product_region", "publication_date"],
                    "properties": {
                        "name": TEXT, "description": TEXT, "intended_use": TEXT,
                        "data_product_region": TEXT,
                        "data_curators": {"type": "array", "items": TEXT, "minItems": 1},
                        "data_product_type": {"enum": ["Machine learning model"]},
                        "publication_date": {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
                    },
                },
                "dp_variant": CLOSED
                | {
                    "properties": {
                        "variant_name": {"enum": ["Pure DP", "Approximate DP"]},
                        "data_domain": TEXT, "unprotected_quantities": TEXT,
                    }
                },
                "privacy_loss": CLOSED
                | {
                    "properties": {
                        "privacy_unit": TEXT, "privacy_unit_details": TEXT,
                        "privacy_parameters": CLOSED
                        | {
                            "properties": {
                                "epsilon": {"type": "number"},
                                "delta": {"type": ["number", "string"]},
                                "rho": {"type": "number"},
                            }
                        },
                        "privacy_parameters_details": TEXT,
                    }
                },
                "deployment_model": CLOSED
                | {
                    "properties": {
                        "model_name": {"enum": ["Local", "Central", "Shuffle", "Federated"]},
                        "model_name_details": TEXT, "actors": TEXT,
                        "release_type": {"enum": ["One release", "Many releases"]},
                        "release_type_details": TEXT,
                        "data_source_type": {"enum": ["Static", "Dynamic"]},
                        "access_type": {"enum": ["Interactive", "Non-interactive"]},
                    }
                },
                "accounting": CLOSED
                | {"properties": {"post_processing": TEXT, "composition": TEXT}},
                "implementation": CLOSED
                | {
                    "properties": {
                        "preprocessing_and_hyperparameter_tuning": TEXT, "mechanisms": TEXT,
                        "justification": TEXT,
                    }
                },
                "administrative": CLOSED
                | {
                    "required": ["registry_authors"],
                    "properties": {
                        "sources": TEXT, "notes": TEXT,
                        "registry_authors": {"type": "array", "items": TEXT, "minItems": 1},
                    },
                },
            },
        },
    },
}  # fmt: skip


def text_of(form: str, content: dict[str, Any]) -> str:
    """What a person reads, markup taken away."""
    written = FORMS[form](content)
    if form == "html":
        written = unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style>.*?</style>", "", written)))
    return " ".join(written.split())


@pytest.mark.parametrize("form", SHOWN)
@pytest.mark.parametrize("unit", UNITS)
def test_every_number_of_every_claim_is_in_every_form(form: str, unit: str) -> None:
    """Digit for digit, as JSON has it."""
    content = report(unit)
    written = text_of(form, content)
    for claim in content["claims"]:
        for key in ("epsilon", "delta", "budget_epsilon", "no_amplification_epsilon"):
            value = claim[key]
            expected = "not bounded" if value == "inf" else json.dumps(value)
            assert expected in written, (form, key)
    assert content["verdict"]["one_line"] in written


@pytest.mark.parametrize("form", SHOWN)
def test_a_changed_epsilon_changes_every_form(form: str) -> None:
    """The test above can fail."""
    content = report()
    changed = json.loads(json.dumps(content).replace('"epsilon": 4.', '"epsilon": 5.'))
    assert changed != content
    assert text_of(form, changed) != text_of(form, content)


def test_json_is_the_report() -> None:
    """Nothing added, nothing lost."""
    content = report()
    assert json.loads(FORMS["json"](content)) == content


def test_a_bound_stands_beside_the_claim_that_it_was_made_for_rounded_down() -> None:
    """One who sees less has not been shown to learn as much."""
    content = report()
    bounds = [lower_bound(claim, content["audit"]) for claim in content["claims"]]
    assert bounds == [0.8765, None, None]
    assert claim_row(content["claims"][0], content["audit"])[-1] == "0.8765"
    assert "Measured by audit: epsilon at least 0.8765" in content["claims"][0]["statement"]
    assert CANARIES["result"] > 0.8765
    assert percent_up(0.010501) == "1.06 %"


@pytest.mark.parametrize("form", SHOWN)
def test_names_that_would_be_markup_are_text(form: str) -> None:
    """Clients choose their names."""
    written = FORMS[form](hostile())
    if form != "terminal":
        assert "<script" not in written
    if form != "html":  # where a line end is a space
        assert "\n# x" not in written


@pytest.mark.parametrize("unit", UNITS)
def test_the_terminal_form_fits_on_twenty_lines(unit: str) -> None:
    """With verdict, bars and those who spent most."""
    lines = FORMS["terminal"](report(unit)).splitlines()
    assert len(lines) <= 20
    assert lines[0].split(":")[0] in {"Guaranteed, on assumptions", "Not private"}
    if unit == "record":
        assert any("spent most: site-0" in line for line in lines)
        assert any(line.endswith("%") for line in lines)


@pytest.mark.parametrize("unit", UNITS)
def test_the_registry_record_follows_the_registrys_schema(unit: str) -> None:
    """Fields, enumerations and closed objects; what is not bounded has no number."""
    record = registry_record(report(unit))
    assert [e.message for e in Draft202012Validator(REGISTRY).iter_errors(record)] == []
    parameters = record["deployment"]["privacy_loss"]["privacy_parameters"]
    assert ("epsilon" in parameters) is (unit != "none")
    broken = registry_record(report(unit)) | {"surprise": 1}
    assert list(Draft202012Validator(REGISTRY).iter_errors(broken))


def test_the_registry_record_is_yaml_that_reads_back() -> None:
    """Numbers as numbers, texts as texts, whatever they hold."""
    content = hostile()
    assert yaml.safe_load(registry_yaml(content)) == registry_record(content)


def test_page_and_markdown_are_written_beside_the_report(tmp_path: Path) -> None:
    """For whoever has no command line."""
    write_forms(RunFolder(tmp_path), report())
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "report.md").read_text().startswith("# Privacy report of run run-1")
