"""Audits in a report: lower bounds beside the claims, and what they do to the verdict.

Each audit was judged where it was made, against what it is a bound of (`passed`): the bound of one
release may lie above the amplified claim of a run and be right.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_CODES = {"AUDIT_EXCEEDS_CLAIM", "AUDIT_FAR_BELOW"}


def with_audits(report: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of `report` with `audits` in it; its verdict and statements as they leave them."""
    verdict = dict(report["verdict"])
    problems = [p for p in verdict["problems"] if p["code"] not in _CODES]
    failed = [a["name"] for a in audits if not a["passed"] and a["kind"] != "estimate"]
    if failed:
        # Guarantee: a claim that a measurement contradicts is no claim.
        verdict["level"] = "not_private"
        problems.append(
            {
                "code": "AUDIT_EXCEEDS_CLAIM",
                "severity": "critical",
                "text": f"measured against the claim and failed: {', '.join(failed)}",
                "fix": "do not release the model; look for what differs from the plan",
            }
        )
    claims = {claim["id"]: claim for claim in report["claims"]}
    if far := [a["name"] for a in audits if _is_far_below(a, claims)]:
        problems.append(
            {
                "code": "AUDIT_FAR_BELOW",
                "severity": "info",
                "text": f"estimated at less than a third of the claim: {', '.join(far)}",
                "fix": "check that the canaries arrive; or there is more noise than needed",
            }
        )
    return dict(report) | {
        "claims": [_measured(claim, audits) for claim in report["claims"]],
        "audit": [dict(a) for a in audits],
        "verdict": verdict | {"problems": problems},
    }


def _is_far_below(audit: Mapping[str, Any], claims: Mapping[str, Mapping[str, Any]]) -> bool:
    claim = claims.get(audit.get("claim_id", ""))
    interval = audit.get("interval")
    if audit["kind"] != "estimate" or claim is None or not interval:
        return False
    return bool(float(interval[1]) < float(claim["epsilon"]) / 3.0)


def _measured(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The claim, its statement ending with what was measured of it."""
    statement = str(claim["statement"]).split(" Measured by audit")[0]
    bounds = [
        audit
        for audit in audits
        if audit["kind"] == "lower_bound" and audit.get("claim_id") == claim["id"]
    ]
    if bounds:
        highest = max(bounds, key=lambda audit: float(audit["result"]))
        statement += (
            f" Measured by audit: epsilon at least {highest['result']:.4f} "
            f"({100 * highest['confidence']:g} % confidence)."
        )
    return dict(claim) | {"statement": statement}
