"""A run's result in at most twenty plain lines: for the log, and for whoever has no terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

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
