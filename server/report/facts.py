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


def lower_bound(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> float | None:
    """Largest bound that was measured against this very claim; None where none was.

    What whoever sees every noisy sum can show says nothing of one who sees less.
    """
    found = [
        float(audit["result"])
        for audit in audits
        if audit["kind"] == "lower_bound" and audit.get("claim_id") == claim["id"]
    ]
    # Rounded down: the other way it would claim too much.
    return math.floor(max(found) * 1e4) / 1e4 if found else None


def percent_up(share: float) -> str:
    """Percent with two decimals, rounded up.

    >>> percent_up(0.010501)
    '1.06 %'
    """
    return f"{math.ceil(share * 1e4 - 1e-9) / 100:.2f} %"


def worst_claim(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claim with the largest finite epsilon; None where nothing is promised."""
    finite = [claim for claim in report["claims"] if claim["epsilon"] != "inf"]
    return max(finite, key=lambda claim: float(claim["epsilon"]), default=None)


def worst_clients(report: Mapping[str, Any], count: int = 3) -> list[Mapping[str, Any]]:
    """Those who spent most."""
    listed = report["clients"]["per_client"]
    return sorted(listed, key=lambda c: -float(c["spent"]))[:count]
