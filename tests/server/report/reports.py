"""Reports of runs that never took place, with audits and hostile names."""

import json
from copy import deepcopy
from functools import cache
from importlib import resources
from typing import Any

from server.report.audits import with_audits
from server.report.build import build_report
from tests.server.report.outcomes import UNITS, outcome

CANARIES: dict[str, Any] = {
    "name": "canaries, any mechanism", "kind": "lower_bound", "threat_model": "sees all",
    "unit": "record", "canaries": 100, "guesses": 20, "correct": 18, "ceiling": 2.5,
    "result": 0.87659, "confidence": 0.95, "delta": 1e-5, "claim_id": "c1", "passed": True,
    "seconds": 0.1, "roc": [[0.0, 0.0], [0.1, 0.3], [1.0, 1.0]],
}  # fmt: skip
ESTIMATE = CANARIES | {
    "name": "canaries, two normals", "kind": "estimate", "interval": [1.0, 90.0],
    "confidence": None,
}  # fmt: skip


@cache
def _built(unit: str) -> dict[str, Any]:
    return build_report(outcome(UNITS[unit] | {"seed": "os"}), "run-1")


def report(unit: str = "record", **audits: Any) -> dict[str, Any]:
    """A report with canaries; `audits` changes the bound."""
    made = deepcopy(_built(unit))
    finite = [claim["id"] for claim in made["claims"] if claim["epsilon"] != "inf"]
    claim_id = finite[0] if finite else "c2"
    bound = CANARIES | {"claim_id": claim_id} | audits
    return with_audits(made, [bound, ESTIMATE | {"claim_id": claim_id}])


def minimal() -> dict[str, Any]:
    """A report that has only what the schema asks for."""
    schema = json.loads(resources.files("server.report").joinpath("schema.json").read_text())
    found: dict[str, Any] = _required(report(), schema)
    return found


def _required(content: Any, schema: Any) -> Any:
    if isinstance(content, list):
        return [_required(one, schema.get("items", {})) for one in content]
    if not isinstance(content, dict) or "properties" not in schema:
        return content
    kept = schema.get("required", ())
    return {k: _required(v, schema["properties"][k]) for k, v in content.items() if k in kept}


def all_hostile() -> dict[str, Any]:
    """A report each of whose texts would like to be markup, but for what decides on its form."""
    found: dict[str, Any] = _hostile(report())
    return found


def _hostile(content: Any, name: str = "") -> Any:
    if isinstance(content, dict):
        return {key: _hostile(value, key) for key, value in content.items()}
    if isinstance(content, list):
        return [_hostile(one, name) for one in content]
    if not isinstance(content, str) or content == "inf" or name in {"level", "kind"}:
        return content
    return content + "\"'><img src=x onerror=alert(1)><!--<script>&amp;"


def hostile() -> dict[str, Any]:
    """A report whose names would like to be markup."""
    found = report()
    evil = '<script src="http://evil.example/x.js">|alert(1)</script>\n# x'
    found["run"]["run_id"] = evil
    found["clients"]["per_client"][0]["client"] = evil
    found["verdict"]["problems"].append({"code": evil, "severity": "critical", "text": evil})
    return found
