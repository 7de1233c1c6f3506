"""A run's result in at most twenty plain lines: for the log, and for whoever has no terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from server.report.facts import (
    LEVELS,
    budget_percent,
    lower_bound,
    number,
    problems,
    words,
    worst_clients,
)
from shared.counting import counted

Row = tuple[str, ...]
_HEADINGS: Row = ("against", "unit", "epsilon", "delta", "budget", "without amplification")


def claim_rows(claims: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row an observer below the headings; the numbers are those of the report, not rounded."""
    return [_HEADINGS] + [
        (
            str(claim["adversary"]),
            str(claim["unit"]),
            str(claim["epsilon"]),
            str(claim["delta"]),
            str(claim["budget_epsilon"]),
            str(claim["no_amplification_epsilon"]),
        )
        for claim in claims
    ]


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Verdict, claims x numbers, files: at most twenty lines for up to twelve claims.

    Args:
        summary: The content of summary.json.
    """
    rows = claim_rows(summary["claims"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    verdict, accuracy = summary["verdict"], summary["accuracy"]
    shown = "not measured" if accuracy is None else f"{accuracy:.4f}"
    return [
        f"{verdict['level'].replace('_', ' ')}: {verdict['one_line']}",
        *table,
        f"accuracy {shown}, {counted(summary['rounds'], 'round')}, "
        f"{counted(summary['clients_lost'], 'answer')} lost",
        f"model   {summary['model_file']}",
        f"report  {summary['report_file']}",
    ]


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report in at most nineteen lines: verdict, claims, clients, problems; as JSON has them.

    Eighty columns are enough for the claims.
    """
    verdict, claims = report["verdict"], report["claims"]
    rows = [_CLAIM_COLUMNS, *[_short_row(claim, report["audit"]) for claim in claims]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{LEVELS[verdict['level']]}: {verdict['one_line']}"]
    lines += sorted({_what(claim) for claim in claims})
    lines += [
        "",
        *[
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows[:7]
        ],
    ]
    if clients := worst_clients(report):
        spent = ", ".join(f"{_line_of(c['client'])} {number(c['spent'])}" for c in clients)
        lines += ["", f"spent most: {spent}"]
    listed = problems(report)[:5]
    lines += [f"{p['severity']} {_line_of(p['code'])}: {_one_line(p)}" for p in listed]
    return lines[:19]


_CLAIM_COLUMNS: Row = ("against", "epsilon", "budget used", "unsampled", "measured")
_SHORT = {
    "released_model": "final model",
    "every_global_model": "every global model",
    "server_secagg_sum": "server (sums only)",
    "server_each_update": "server (each update)",
    "other_client": "another client",
    "colluding_clients_and_server": "clients and server",
}


def _what(claim: Mapping[str, Any]) -> str:
    return (
        f"one {claim['unit']}, {words(claim['adjacency'])}, delta {number(claim['delta'])}; "
        "epsilon: at most; measured: at least"
    )


def _short_row(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> Row:
    return (
        _SHORT.get(claim["adversary"], words(claim["adversary"])),
        number(claim["epsilon"]),
        _bar(claim),
        number(claim.get("no_amplification_epsilon")),
        number(lower_bound(claim, audits)),
    )


def _bar(claim: Mapping[str, Any]) -> str:
    percent, budget = budget_percent(claim), number(claim.get("budget_epsilon"))
    if percent is None:
        return f"of {budget}"
    filled = "#" * min(8, math.ceil(8 * percent / 100))
    return f"[{filled:8}] {percent} % of {budget}"


def _one_line(problem: Mapping[str, Any]) -> str:
    fix = f"; {problem['fix']}" if problem.get("fix") else ""
    text = _line_of(f"{problem['text']}{fix}")
    return text if len(text) <= 150 else text[:149] + "…"


def _line_of(text: str) -> str:
    """One line without control characters: names are chosen by others."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
