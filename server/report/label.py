"""The verdict at a glance: level, one line, the largest epsilon and what was measured of it."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from server.report.bars import scale
from server.report.facts import (
    LEVELS,
    OBSERVERS,
    lower_bound,
    number,
    percent_up,
    words,
    worst_claim,
)
from server.report.tables import Cell, pairs

_SIGNS = {
    "guaranteed": "✓",
    "guaranteed_with_assumptions": "✓",
    "not_private": "✕",
    "inconclusive": "?",
}


def label(report: Mapping[str, Any]) -> str:
    """The box at the page's head, which answers what most readers came for."""
    verdict, claim = report["verdict"], worst_claim(report)
    level = verdict["level"]
    return (
        f'<section class="label {escape(level)}" aria-labelledby="verdict"><h2 id="verdict">'
        f'<span class="sign" aria-hidden="true">{_SIGNS[level]}</span> {LEVELS[level]}</h2>'
        f'<p class="line">{escape(verdict["one_line"])}</p>'
        f"{'' if claim is None else _facts(report, claim)}</section>"
    )


def _facts(report: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    measured = lower_bound(claim, report["audit"])
    values: dict[str, Cell] = {
        "protects": f"one {claim['unit']}",
        "adjacency": words(claim["adjacency"]),
        "against": _against(report["claims"], claim),
        "δ, chance of more": number(claim["delta"]),
        "if the sampling were known": f"ε ≤ {number(claim.get('no_amplification_epsilon'))}",
    }
    if group := claim.get("group"):
        name = f"{group['records']} records of one person"
        values[name] = f"ε ≤ {number(group['epsilon'])}"
    if report["verdict"]["level"] == "not_private":
        # What is void must not look like a promise.
        told = f"Not to be relied on: ε ≤ {number(claim['epsilon'])}"
        return f'<p class="void">{escape(told)}</p>{pairs(values)}'
    return (
        f'<p class="epsilon">ε ≤ <strong>{escape(number(claim["epsilon"]))}</strong></p>'
        f"{_scale(claim, measured)}{pairs(values)}{_in_attack_terms(claim)}"
    )


def _against(claims: Sequence[Mapping[str, Any]], worst: Mapping[str, Any]) -> str:
    """Whom the number above holds against; who is not bounded at all is named too."""
    if all(claim["epsilon"] == worst["epsilon"] for claim in claims):
        return "every observer"
    held = [_observer(claim) for claim in claims if claim["epsilon"] != "inf"]
    open_to = [_observer(claim) for claim in claims if claim["epsilon"] == "inf"]
    return "; ".join(held) + (f". Not against {'; '.join(open_to)}" if open_to else "")


def _observer(claim: Mapping[str, Any]) -> str:
    return OBSERVERS.get(claim["adversary"], words(claim["adversary"]))


def _scale(claim: Mapping[str, Any], measured: float | None) -> str:
    budget = float(claim.get("budget_epsilon", math.inf))
    limit = budget if math.isfinite(budget) else None
    promised = f"promised: ε ≤ {number(claim['epsilon'])}"
    found = "measured: nothing yet" if measured is None else f"measured: ε ≥ {measured}"
    allowed = "no budget" if limit is None else f"budget: ε {number(claim['budget_epsilon'])}"
    drawn = scale(
        "Promised, measured and allowed epsilon",
        f"{promised}; {found}; {allowed}",
        float(claim["epsilon"]),
        measured or 0.0,
        limit,
    )
    keys = (("first", promised), ("second", found), ("warn", allowed))
    listed = "".join(
        f'<li><span class="key {style}"></span>{escape(text)}</li>' for style, text in keys
    )
    return f'{drawn}<ul class="legend">{listed}</ul>'


def _in_attack_terms(claim: Mapping[str, Any]) -> str:
    risk = claim.get("risk", {})
    caught = {float(a): float(b) for a, b in risk.get("tpr_at_fpr", ())}.get(1e-3)
    sure = risk.get("posterior_from_prior_50")
    if caught is None or sure is None:
        return ""
    unit = escape(claim["unit"])
    return (
        f'<p class="meaning">In attack terms: whoever is 50 % certain that one {unit} '
        f"took part can become at most <strong>{_unbroken(sure)}</strong> certain, but for a "
        "probability δ; at one false alarm in a thousand, at most "
        f"<strong>{_unbroken(caught)}</strong> of those who took part are found.</p>"
    )


def _unbroken(share: float) -> str:
    return percent_up(share).replace(" ", "\N{NO-BREAK SPACE}")
