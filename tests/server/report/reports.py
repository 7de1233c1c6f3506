"""Reports of runs that never took place, with audits and hostile names."""

from copy import deepcopy
from functools import cache
from typing import Any

from server.report.audits import with_audits
from server.report.build import build_report
from tests.server.report.outcomes import UNITS, outcome

CANARIES: dict[str, Any] = {
    "name": "canaries, any mechanism", "kind": "lower_bound", "threat_model": "sees all",
    "unit": "record", "canaries": 100, "guesses": 20, "correct": 18, "ceiling": 2.5,
    "result": 0.87654321, "confidence": 0.95, "delta": 1e-5, "claim_id": "c1", "passed": True,
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
    claim_id = "c1" if unit == "record" else "c2"
    bound = CANARIES | {"claim_id": claim_id} | audits
    return with_audits(made, [bound, ESTIMATE | {"claim_id": claim_id}])


def hostile() -> dict[str, Any]:
    """A report whose names would like to be markup."""
    found = report()
    evil = '<script src="http://evil.example/x.js">|alert(1)</script>\n# x'
    found["run"]["run_id"] = evil
    found["clients"]["per_client"][0]["client"] = evil
    found["verdict"]["problems"].append({"code": evil, "severity": "critical", "text": evil})
    return found
