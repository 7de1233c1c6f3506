"""From assumptions and claims to one level: the worst fact decides.

Any violated assumption, or nothing promised to anybody: not private. Any assumption that nothing
enforces: guaranteed with assumptions.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shared.dp.claims import Claim
from shared.dp.mechanisms import CLIENT_LEVEL, CorrelatedPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan

_HIGH_EPSILON = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What a claim rests on; status: enforced, verified, assumed or violated."""

    id: str
    text: str
    status: str
    evidence: str


def assumptions(plan: PrivacyPlan, *, seeded: bool) -> tuple[Assumption, ...]:
    """What the claims of a run under `plan` rest on."""
    mechanism = plan.mechanism
    if isinstance(mechanism, NoPrivacy):
        return ()
    found = [
        Assumption(
            id="secret_randomness",
            text="sampling and noise cannot be predicted",
            status="violated" if seeded else "enforced",
            evidence="derived from the run's seed" if seeded else "keys of the operating system",
        ),
        Assumption(
            id="fixed_plan",
            text="clip, noise, sampling, steps and divisor are public and fixed before the run",
            status="enforced",
            evidence=f"plan {plan.digest()}, checked by every client before it reads data",
        ),
    ]
    if isinstance(mechanism, RecordPrivacy):
        found.append(
            Assumption(
                id="client_code",
                text="every site runs this client unmodified, with its own records only",
                status="assumed",
                evidence="nothing attests the code that a site runs",
            )
        )
    if isinstance(mechanism, CorrelatedPrivacy):
        found.append(
            Assumption(
                id="participation",
                text=f"no client takes part twice within {mechanism.min_separation} rounds, or "
                f"more than {mechanism.max_participations} times",
                status="enforced",
                evidence="the server's rotation, and the ledger of every unmodified client",
            )
        )
    if isinstance(mechanism, CLIENT_LEVEL):
        found.append(
            Assumption(
                id="trusted_server",
                text="the server adds the noise, and tells nobody the updates or the cohort",
                status="assumed",
                evidence="it receives each clipped update; no secure aggregation is in use",
            )
        )
    return tuple(found)


def problems(claims: Sequence[Claim], found: Sequence[Assumption]) -> list[dict[str, str]]:
    """What a reader must know before the numbers."""
    listed = [
        {
            "code": "SEEDED_RANDOMNESS",
            "severity": "critical",
            "text": "whoever knows the seed can predict the noise and take it away; for "
            f"simulation only. Violated: {assumption.text} ({assumption.evidence})",
            "fix": 'set seed to "os"',
        }
        for assumption in found
        if assumption.status == "violated"
    ]
    finite = [claim.epsilon for claim in claims if math.isfinite(claim.epsilon)]
    if not finite:
        listed.append(
            {
                "code": "NO_PRIVACY",
                "severity": "critical",
                "text": "nothing is promised to anybody: the run has no differential privacy",
                "fix": "set privacy.unit to record or client",
            }
        )
    elif max(finite) > _HIGH_EPSILON:
        listed.append(
            {
                "code": "EPSILON_HIGH",
                "severity": "warning",
                "text": f"epsilon {max(finite)!r} is above {_HIGH_EPSILON:g}: a weak guarantee",
                "fix": "more noise, fewer rounds or more data",
            }
        )
    listed += _warnings(claims)
    return listed


def _warnings(claims: Sequence[Claim]) -> list[dict[str, str]]:
    """What weakens a claim without voiding it."""
    listed = []
    finite = [claim for claim in claims if math.isfinite(claim.epsilon)]
    if finite and any(claim.epsilon > 0.95 * claim.budget_epsilon for claim in finite):
        listed.append(
            {
                "code": "BUDGET_NEARLY_SPENT",
                "severity": "info",
                "text": f"more than 95 % of the run's budget {finite[0].budget_epsilon!r} is spent",
            }
        )
    if finite:
        listed.append(
            {
                "code": "TUNING_NOT_CHARGED",
                "severity": "info",
                "text": "if settings were chosen by looking at results on private data, each look "
                "costs epsilon that is not in this report",
                "fix": "choose settings on public data, or charge the search (docs/privacy.md)",
            }
        )
    if any(not claim.cross_check.get("agree", True) for claim in claims):
        listed.append(
            {
                "code": "PLD_ABOVE_RDP",
                "severity": "warning",
                "text": "PLD exceeds RDP, which points to numerical trouble; the smaller, still "
                "valid bound is reported",
            }
        )
    return listed


def verdict(plan: PrivacyPlan, claims: Sequence[Claim], *, seeded: bool) -> dict[str, Any]:
    """The report's `verdict`: level, one line, problems."""
    found = assumptions(plan, seeded=seeded)
    statuses = {assumption.status for assumption in found}
    finite = [claim for claim in claims if math.isfinite(claim.epsilon)]
    if not finite or "violated" in statuses:
        level = "not_private"
    else:
        level = "guaranteed_with_assumptions" if "assumed" in statuses else "guaranteed"
    return {
        "level": level,
        "one_line": _one_line(claims, finite, seeded=seeded),
        "problems": problems(claims, found),
    }


def _one_line(claims: Sequence[Claim], finite: Sequence[Claim], *, seeded: bool) -> str:
    if not finite:
        return "no differential privacy: nothing is promised to anybody"
    worst = max(finite, key=lambda claim: claim.epsilon)
    line = f"{worst.unit}-level ({worst.epsilon!r}, {worst.delta!r})-DP against "
    line += "every observer" if len(finite) == len(claims) else "everybody but the server"
    return line + (", void for whoever knows the seed" if seeded else "")


def as_json(found: Sequence[Assumption]) -> list[dict[str, str]]:
    """The report's `assumptions`."""
    return [asdict(assumption) for assumption in found]
