"""Audits in a report: a measured bound above a claim makes the run not private."""

from collections.abc import Mapping, Sequence
from typing import Any


def with_audits(report: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of `report` with `audits` in it, and its verdict as they leave it."""
    verdict = dict(report["verdict"])
    kept = [p for p in verdict["problems"] if p["code"] != "AUDIT_EXCEEDS_CLAIM"]
    failed = [a["name"] for a in audits if not a["passed"] and a["kind"] != "estimate"]
    if failed:
        verdict["level"] = "not_private"
        kept.append(
            {
                "code": "AUDIT_EXCEEDS_CLAIM",
                "severity": "critical",
                "text": f"measured against the claim and failed: {', '.join(failed)}",
                "fix": "do not release the model; look for what differs from the plan",
            }
        )
    return dict(report) | {
        "audit": [dict(a) for a in audits],
        "verdict": verdict | {"problems": kept},
    }
