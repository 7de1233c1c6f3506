"""A run's result in at most twenty plain lines: for the log, and for whoever has no terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.report.facts import CLAIM_HEADINGS, LEVELS, claim_row, number, worst_clients

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
        f"accuracy {shown}, {summary['rounds']} rounds, {summary['clients_lost']} answers lost",
        f"model   {summary['model_file']}",
        f"report  {summary['report_file']}",
    ]


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report in at most twenty lines: verdict, claims, clients, problems, numbers unrounded."""
    verdict, audits = report["verdict"], report["audit"]
    rows = [CLAIM_HEADINGS, *[claim_row(claim, audits) for claim in report["claims"]]]
    bars = ["budget used", *[_bar(claim) for claim in report["claims"]]]
    rows = [(*row, bar) for row, bar in zip(rows, bars, strict=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{LEVELS[verdict['level']]}: {verdict['one_line']}", ""]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows[:7]
    ]
    if clients := worst_clients(report):
        spent = ", ".join(f"{_line_of(c['client'])} {number(c['spent'])}" for c in clients)
        lines += ["", f"spent most: {spent}"]
    listed = verdict["problems"][:5]
    lines += [f"{p['severity']} {_line_of(p['code'])}: {_one_line(p)}" for p in listed]
    return lines[:20]


def _bar(claim: Mapping[str, Any]) -> str:
    if claim["epsilon"] == "inf" or claim.get("budget_epsilon") in (None, "inf"):
        return ""
    share = min(1.0, float(claim["epsilon"]) / float(claim["budget_epsilon"]))
    return f"[{'#' * round(10 * share):10}] {100 * share:.0f} %"


def _one_line(problem: Mapping[str, Any]) -> str:
    fix = f"; {problem['fix']}" if problem.get("fix") else ""
    text = _line_of(f"{problem['text']}{fix}")
    return text if len(text) <= 150 else text[:149] + "…"


def _line_of(text: str) -> str:
    """One line without control characters: names are chosen by others."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
