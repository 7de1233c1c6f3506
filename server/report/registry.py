"""The run as a record of a deployments registry: YAML, made from the report.

Source: opendp/deployments-registry-data at 3e9c812 (2026-07-15), schemas/deployments-schema.yaml.
What a report cannot know (who publishes, for which purpose) is left to be filled in, and says so.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from server.report.facts import worst_claim

_FILL_IN = "TO BE FILLED IN"


def registry_record(report: Mapping[str, Any]) -> dict[str, Any]:
    """The record; epsilon is that of the worst observer with a finite one, else left out."""
    claim = worst_claim(report) or report["claims"][0]
    run, trust = report["run"], report["trust"]
    return {
        "url_slug": run["run_id"].lower(),
        "status": "Draft",
        "tier": 3,
        "deployment": {
            "basic": {
                "name": run["run_id"],
                "data_curators": [_FILL_IN],
                "intended_use": _FILL_IN,
                "data_product_type": "Machine learning model",
                "data_product_region": _FILL_IN,
                "description": report["verdict"]["one_line"],
                "publication_date": report["created"][:10],
            },
            "dp_variant": {
                "variant_name": "Approximate DP",
                "data_domain": "the training examples of all enrolled clients",
                "unprotected_quantities": "; ".join(claim.get("not_covered", [])),
            },
            "privacy_loss": {
                "privacy_unit": claim["unit"],
                "privacy_unit_details": f"{claim['unit_detail']}; adjacency: "
                f"{claim['adjacency'].replace('_', ' ')}",
                "privacy_parameters": _parameters(claim),
                "privacy_parameters_details": claim["statement"],
            },
            "deployment_model": {
                "model_name": "Federated",
                "model_name_details": f"trust: {trust['model']}",
                "actors": "; ".join(
                    f"{p['party']}, trusted for {p.get('trusted_for', 'nothing')}, sees "
                    f"{p.get('sees', 'nothing')}"
                    for p in trust["parties"]
                ),
                "release_type": "One release",
                "release_type_details": "every global model of one run, and the final one",
                "data_source_type": "Static",
                "access_type": "Non-interactive",
            },
            "accounting": {
                "post_processing": "model and metrics are functions of noised sums",
                "composition": f"{claim['method']}, {report['accounting']['library']} "
                f"{report['accounting']['version']}",
            },
            "implementation": {
                "preprocessing_and_hyperparameter_tuning": "not charged, see problems",
                "mechanisms": "; ".join(m["name"] for m in report["mechanisms"]),
                "justification": "; ".join(a["text"] for a in report["assumptions"]),
            },
            "administrative": {
                "sources": run["plan_hash"],
                "notes": report["verdict"]["level"],
                "registry_authors": [_FILL_IN],
            },
        },
    }


def registry_yaml(report: Mapping[str, Any]) -> str:
    """The record as YAML."""
    return "\n".join(_lines(registry_record(report), 0)) + "\n"


def _parameters(claim: Mapping[str, Any]) -> dict[str, float]:
    found = {"epsilon": claim["epsilon"], "delta": claim["delta"], "rho": claim.get("rho_zcdp")}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _lines(content: Mapping[str, Any], depth: int) -> list[str]:
    found = []
    for key, value in content.items():
        indent = "  " * depth
        if isinstance(value, Mapping):
            found += [f"{indent}{key}:", *_lines(value, depth + 1)]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found += [f"{indent}{key}:", *[f"{indent}  - {_scalar(entry)}" for entry in value]]
        else:
            found.append(f"{indent}{key}: {_scalar(value)}")
    return found


def _scalar(value: Any) -> str:
    """A JSON scalar, which is YAML too, if a fraction has its point: texts are always quoted."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text
