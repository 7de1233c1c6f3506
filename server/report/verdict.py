"""From assumptions and claims to one level: the worst fact decides.

Any violated assumption, anything uncharged, any claim that a measurement contradicts, or nothing
promised to anybody: not private. Any assumption that nothing enforces: guaranteed with assumptions.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

from server.report.assumptions import Assumption, Facts, assumptions
from shared.dp.claim import Claim
from shared.dp.mechanisms import CLIENT_LEVEL
from shared.dp.observers import SUMS
from shared.dp.plan import PrivacyPlan

# Problems after which no claim of a report holds.
VOIDING = frozenset({"SEEDED_RANDOMNESS", "NO_PRIVACY", "UNCHARGED_ACCESS", "AUDIT_EXCEEDS_CLAIM"})
_HIGH_EPSILON = 10.0
_ADVISED = 0.1  # of one over the number of units
_NEARLY = 0.95  # of the budget


def verdict(plan: PrivacyPlan, claims: Sequence[Claim], facts: Facts) -> dict[str, Any]:
    """The report's `verdict`: level, one line, problems."""
    found = assumptions(plan, facts)
    epsilons = [claim.epsilon for claim in claims]
    listed = [*_voiding(epsilons, found, facts), *_weakening(plan, claims, facts)]
    return {
        "level": level([a.status for a in found], epsilons, [p["code"] for p in listed]),
        "one_line": _one_line(claims, seeded=facts.seeded),
        "problems": listed,
    }


def level(statuses: Collection[str], epsilons: Collection[float], codes: Collection[str]) -> str:
    """The worst fact decides.

    Args:
        statuses: Of the assumptions.
        epsilons: Of the claims; infinity where nothing is promised.
        codes: Of the problems.
    """
    if not any(map(math.isfinite, epsilons)) or "violated" in statuses or VOIDING & set(codes):
        return "not_private"
    return "guaranteed_with_assumptions" if "assumed" in statuses else "guaranteed"


def _voiding(
    epsilons: Sequence[float], found: Sequence[Assumption], facts: Facts
) -> list[dict[str, str]]:
    """After which no claim holds."""
    listed = [
        _problem(
            "SEEDED_RANDOMNESS",
            "critical",
            "whoever knows the seed can predict the noise and take it away; for simulation only. "
            f"Violated: {assumption.text} ({assumption.evidence})",
            'set seed to "os"',
        )
        for assumption in found
        if assumption.status == "violated"
    ]
    if not any(map(math.isfinite, epsilons)):
        text = "nothing is promised to anybody: the run has no differential privacy"
        fix = "set privacy.unit to record or client"
        listed.append(_problem("NO_PRIVACY", "critical", text, fix))
    elif facts.uncharged:
        text = (
            f"finished rounds that were never charged: {len(facts.uncharged)}, the first is round "
            f"{facts.uncharged[0]}; no epsilon here covers them"
        )
        fix = "do not release the model; find out how charges.jsonl lost its lines"
        listed.append(_problem("UNCHARGED_ACCESS", "critical", text, fix))
    return listed


def _weakening(plan: PrivacyPlan, claims: Sequence[Claim], facts: Facts) -> list[dict[str, str]]:
    """What a reader must know before the numbers, though they hold."""
    finite = [claim for claim in claims if math.isfinite(claim.epsilon)]
    if not finite:
        return []
    listed = []
    highest, budget = max(claim.epsilon for claim in finite), finite[0].budget_epsilon
    if highest > _HIGH_EPSILON:
        text = f"epsilon {highest!r} is above {_HIGH_EPSILON:g}: a weak guarantee"
        fix = "more noise, fewer rounds or more data"
        listed.append(_problem("EPSILON_HIGH", "warning", text, fix))
    units = plan.population if isinstance(plan.mechanism, CLIENT_LEVEL) else facts.records
    if units is not None and plan.delta > _ADVISED / units * (1.0 + 1e-9):
        text = (
            f"delta {plan.delta!r} is above a tenth of one over {units} units: so often may one of "
            "them be exposed altogether"
        )
        listed.append(_problem("DELTA_LARGE", "warning", text, "lower privacy.delta"))
    if highest > _NEARLY * budget:
        text = f"more than 95 % of the run's budget {budget!r} is spent"
        fix = "plan the next run on a budget of its own"
        listed.append(_problem("BUDGET_NEARLY_SPENT", "info", text, fix))
    text = (
        "if settings were chosen by looking at results on private data, each look costs epsilon "
        "that is not in this report"
    )
    fix = "choose settings on public data, or charge the search (docs/privacy.md)"
    listed.append(_problem("TUNING_NOT_CHARGED", "info", text, fix))
    if any(not claim.cross_check.get("agree", True) for claim in claims):
        text = (
            "PLD exceeds RDP, which points to numerical trouble; the smaller, still valid bound is "
            "reported"
        )
        fix = "tell the makers the settings: the accountant should not come to this"
        listed.append(_problem("PLD_ABOVE_RDP", "warning", text, fix))
    return listed


def _problem(code: str, severity: str, text: str, fix: str) -> dict[str, str]:
    return {"code": code, "severity": severity, "text": text, "fix": fix}


def _against(unprotected: set[str], finite: Sequence[Claim]) -> str:
    if not unprotected:
        return "every observer"
    if any(claim.adversary == SUMS for claim in finite):
        return "everybody, the server too as long as it sees sums alone"
    return "everybody but the server"


def _one_line(claims: Sequence[Claim], *, seeded: bool) -> str:
    finite = [claim for claim in claims if math.isfinite(claim.epsilon)]
    if not finite:
        return "no differential privacy: nothing is promised to anybody"
    worst = max(finite, key=lambda claim: claim.epsilon)
    line = f"{worst.unit}-level ({worst.epsilon!r}, {worst.delta!r})-DP against "
    line += _against({claim.adversary for claim in claims} - {c.adversary for c in finite}, finite)
    return line + (", void for whoever knows the seed" if seeded else "")
