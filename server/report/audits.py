"""Audits in a report: lower bounds beside the claims, and what they do to the verdict.

Each audit was judged where it was made, against what it is a bound of (`passed`): the bound of one
release may lie above the amplified claim of a run and be right. A bound that names a claim is
judged here a second time, against that claim: nobody can pass it by saying so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from server.report.facts import chosen_bound, lower_bound
from server.report.verdict import level

_CODES = {"AUDIT_EXCEEDS_CLAIM", "AUDIT_ESTIMATE_ABOVE", "AUDIT_FAR_BELOW"}
_CONTRADICTED = ", contradicted by a measurement"
_MEASURED = " Measured by audit"
Audit = Mapping[str, Any]


def with_audits(report: Mapping[str, Any], audits: Sequence[Audit]) -> dict[str, Any]:
    """A copy of `report` with `audits` in it; its verdict and statements as they leave them.

    Made anew each time: what audits did to `report` before is taken back first.
    """
    verdict = report["verdict"]
    problems = [p for p in verdict["problems"] if p["code"] not in _CODES]
    problems += _problems(audits, {claim["id"]: claim for claim in report["claims"]})
    codes = [problem["code"] for problem in problems]
    line = str(verdict["one_line"]).removesuffix(_CONTRADICTED)
    return dict(report) | {
        "claims": [_measured(claim, audits) for claim in report["claims"]],
        "audit": [dict(audit) for audit in audits],
        "verdict": {
            "level": level(
                [assumption["status"] for assumption in report["assumptions"]],
                [float(claim["epsilon"]) for claim in report["claims"]],
                codes,
            ),
            "one_line": line + (_CONTRADICTED if "AUDIT_EXCEEDS_CLAIM" in codes else ""),
            "problems": problems,
        },
    }


def _problems(
    audits: Sequence[Audit], claims: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    estimates = [audit for audit in audits if audit["kind"] == "estimate"]
    failed = [a for a in audits if a["kind"] != "estimate" and not _holds(a, claims)]
    above = [audit for audit in estimates if not audit["passed"]]
    far = [audit for audit in estimates if _is_far_below(audit, claims)]
    found = [
        # Guarantee: a claim that a measurement contradicts is no claim.
        (
            failed,
            "AUDIT_EXCEEDS_CLAIM",
            "critical",
            "measured against the claim and failed: {}",
            "do not release the model; look for what differs from the plan",
        ),
        (
            above,
            "AUDIT_ESTIMATE_ABOVE",
            "warning",
            "estimated above the claim, and above what code that does as planned would be "
            "estimated at 999 times of 1000: {}. An estimate is no bound: it takes the scores for "
            "normally distributed, which sampling makes them not",
            "see that every lower bound is below the claim; repeat the run if in doubt",
        ),
        (
            far,
            "AUDIT_FAR_BELOW",
            "warning",
            "estimated at less than a third of the claim: {}",
            "check that the canaries arrive; or there is more noise than needed",
        ),
    ]
    return [
        {
            "code": code,
            "severity": severity,
            "text": text.format(", ".join(str(audit["name"]) for audit in which)),
            "fix": fix,
        }
        for which, code, severity, text, fix in found
        if which
    ]


def _holds(audit: Audit, claims: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a check passed, and a bound is at most the claim that it names."""
    claim = claims.get(audit.get("claim_id", ""))
    if audit["kind"] == "lower_bound" and claim is not None:
        # Guarantee: bound and claim are of one delta, so the one must not exceed the other.
        alike = audit.get("delta") in (None, claim["delta"])
        return bool(audit["passed"]) and not (
            alike and float(audit["result"]) > float(claim["epsilon"])
        )
    return bool(audit["passed"])


def _is_far_below(audit: Audit, claims: Mapping[str, Mapping[str, Any]]) -> bool:
    claim = claims.get(audit.get("claim_id", ""))
    interval = audit.get("interval")
    if claim is None or claim["epsilon"] == "inf" or not interval:
        return False
    return bool(float(interval[1]) < float(claim["epsilon"]) / 3.0)


def _measured(claim: Mapping[str, Any], audits: Sequence[Audit]) -> dict[str, Any]:
    """The claim, its statement ending with what was measured of it."""
    statement = str(claim["statement"]).split(_MEASURED)[0]
    chosen = chosen_bound(claim, audits)
    if chosen is not None:
        statement += f"{_MEASURED}: epsilon at least {lower_bound(claim, audits)}"
        if chosen["confidence"] is not None:
            statement += f" ({100 * chosen['confidence']:g} % confidence)"
        statement += "."
    return dict(claim) | {"statement": statement}
