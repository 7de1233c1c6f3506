"""The report as GitHub markdown: the same numbers, for a wiki or an issue."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.report.facts import (
    CLAIM_HEADINGS,
    LEVELS,
    audit_result,
    claim_row,
    number,
    problems,
    words,
)
from shared.counting import counted


def markdown(report: Mapping[str, Any]) -> str:
    """All that a reader needs, without plots."""
    verdict, run = report["verdict"], report["run"]
    audits = report["audit"]
    parts = [
        f"# Privacy report of run {_safe(run['run_id'])}",
        f"**{LEVELS[verdict['level']]}.** {_safe(verdict['one_line'])}",
        _safe(
            f"{run['execution']}, {run['rounds_done']} of "
            f"{counted(run['rounds_planned'], 'round')}, "
            f"randomness: {words(run['seed_policy'])}, plan `{run['plan_hash']}`"
        ),
        "## Claims",
        _table(CLAIM_HEADINGS, [claim_row(claim, audits) for claim in report["claims"]]),
        *[f"> {_safe(claim['statement'])}" for claim in report["claims"]],
        "## Problems",
        _list(
            [
                f"**{p['severity']}** `{p['code']}`: {p['text']}"
                + (f" Fix: {p['fix']}." if p.get("fix") else "")
                for p in problems(report)
            ]
        ),
        "## Measured",
        _table(
            ("audit", "kind", "result", "confidence", "passed"),
            [
                (
                    a["name"],
                    words(a["kind"]),
                    audit_result(a),
                    number(a["confidence"]),
                    "yes" if a["passed"] else "**no**",
                )
                for a in audits
            ],
        ),
        "## What it rests on",
        _table(
            ("status", "assumption", "evidence"),
            [(a["status"], a["text"], a.get("evidence", "")) for a in report["assumptions"]],
        ),
        "## What left the clients",
        _table(
            ("what", "to", "protected", "charged", "epsilon alone"),
            [
                (
                    a["what"],
                    a["released_to"],
                    a["protected"],
                    "yes" if a["charged"] else "**no**",
                    number(a.get("epsilon")),
                )
                for a in report["data_accesses"]
            ],
        ),
        "## Mechanisms",
        _table(
            ("name", "clip", "noise multiplier", "noise by", "sampling", "rate", "steps"),
            [
                (
                    m["name"],
                    number(m["clip_norm"]),
                    number(m["noise_multiplier"]),
                    words(m["noise_placed_by"]),
                    words(m["sampling"]["scheme"]),
                    number(m["sampling"].get("q")),
                    number(m["steps"]),
                )
                for m in report["mechanisms"]
            ],
        ),
        "## Clients",
        _table(
            ("client", "spent", "budget", "rounds"),
            [
                (c["client"], number(c["spent"]), number(c["budget"]), str(c["rounds"]))
                for c in report["clients"]["per_client"][:20]
            ],
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing."
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_safe(cell) for cell in line) + " |" for line in lines)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {_safe(item)}" for item in items) if items else "None."


def _safe(text: str) -> str:
    """No line end, and nothing that a table or a page would read as its own."""
    flat = " ".join(str(text).split()).replace("|", "\\|")
    return flat.replace("<", "&lt;").replace(">", "&gt;")
