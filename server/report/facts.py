"""The words and numbers that every form of a report shares, so that no two forms differ."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

OBSERVERS = {
    "released_model": "whoever holds the final model",
    "every_global_model": "whoever sees every global model",
    "server_secagg_sum": "the server, which sees sums only",
    "server_each_update": "the server, which sees each update",
    "other_client": "another client",
    "colluding_clients_and_server": "clients and server together",
}
LEVELS = {
    "guaranteed": "Guaranteed",
    "guaranteed_with_assumptions": "Guaranteed, on assumptions",
    "not_private": "Not private",
    "inconclusive": "Inconclusive",
}
CLAIM_HEADINGS = (
    "against", "unit", "adjacency", "epsilon", "delta", "budget", "without amplification",
    "measured at least",
)  # fmt: skip


def number(value: Any) -> str:
    """All digits of a number of the report; "not bounded" for infinity, a dash for none."""
    if value is None or value == "":
        return "–"  # noqa: RUF001 - a dash
    return "not bounded" if value == "inf" else str(value)


def words(text: str) -> str:
    """An identifier of the schema as words."""
    return text.replace("_", " ")


def claim_row(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """One claim in the order of CLAIM_HEADINGS; numbers are the report's own."""
    return (
        OBSERVERS.get(claim["adversary"], words(claim["adversary"])),
        f"one {claim['unit']}",
        words(claim["adjacency"]),
        number(claim["epsilon"]),
        number(claim["delta"]),
        number(claim.get("budget_epsilon")),
        number(claim.get("no_amplification_epsilon")),
        number(lower_bound(claim, audits)),
    )


def chosen_bound(
    claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The bound that was measured against this very claim; None where none was.

    What whoever sees every noisy sum can show says nothing of one who sees less.
    """
    found = [
        audit
        for audit in audits
        if audit["kind"] == "lower_bound" and audit.get("claim_id") == claim["id"]
    ]
    # Guarantee: one bound, the one that is listed last whatever it came to; the larger of two that
    # each hold at 95 % does not.
    return found[-1] if found else None


def lower_bound(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> float | None:
    """What `chosen_bound` came to, rounded down; None where there is none."""
    chosen = chosen_bound(claim, audits)
    return None if chosen is None else rounded_down(float(chosen["result"]))


def rounded_down(value: float) -> float:
    """Four decimals of a lower bound: rounded the other way it would claim too much.

    >>> rounded_down(0.83728)
    0.8372
    """
    return math.floor(value * 1e4) / 1e4


def rounded_up(value: float) -> float:
    """Four decimals of an upper bound.

    >>> rounded_up(3.62011)
    3.6202
    """
    return math.ceil(value * 1e4 - 1e-9) / 1e4


def audit_result(audit: Mapping[str, Any]) -> str:
    """What an audit found, in the words and digits of every form.

    >>> audit_result({"kind": "lower_bound", "result": 0.83728})
    '0.8372'
    """
    result = audit["result"]
    if isinstance(result, str):
        return number(result)
    return str(rounded_down(result)) if audit["kind"] == "lower_bound" else f"{result:.4g}"


def budget_percent(claim: Mapping[str, Any]) -> float | None:
    """Share of the budget that is spent, rounded up to a tenth; None where there is no such share.

    >>> budget_percent({"epsilon": 3.6202, "budget_epsilon": 8.0})
    45.3
    """
    if claim["epsilon"] == "inf" or claim.get("budget_epsilon") in (None, "inf", 0):
        return None
    share = float(claim["epsilon"]) / float(claim["budget_epsilon"])
    return math.ceil(1000.0 * share - 1e-9) / 10.0


def percent_up(share: float) -> str:
    """Percent with two decimals, rounded up.

    >>> percent_up(0.010501)
    '1.06 %'
    """
    return f"{math.ceil(share * 1e4 - 1e-9) / 100:.2f} %"


def problems(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of the verdict, the gravest first: whoever shows but a few shows these."""
    order = ("critical", "warning", "info")
    listed: list[Mapping[str, Any]] = report["verdict"]["problems"]
    return sorted(
        listed,
        key=lambda p: order.index(p["severity"]) if p["severity"] in order else len(order),
    )


def worst_claim(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claim with the largest finite epsilon; None where nothing is promised."""
    finite = [claim for claim in report["claims"] if claim["epsilon"] != "inf"]
    return max(finite, key=lambda claim: float(claim["epsilon"]), default=None)


def worst_clients(report: Mapping[str, Any], count: int = 3) -> list[Mapping[str, Any]]:
    """Those who spent most."""
    listed = report["clients"]["per_client"]
    return sorted(listed, key=lambda c: -float(c["spent"]))[:count]
