"""The report as one self-contained HTML page: no script, no request, light, dark and print."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from server.report.facts import (
    CLAIM_HEADINGS,
    audit_result,
    budget_percent,
    claim_row,
    number,
    problems,
    words,
)
from server.report.label import label
from server.report.method import accounting, implementation, mechanisms, the_run, trust
from server.report.plots import plots
from server.report.style import STYLE
from server.report.tables import (
    Cell,
    Markup,
    anchor,
    badge,
    budget_bar,
    pairs,
    section,
    table,
)
from shared.counting import counted

_SHOWN_CLIENTS = 10
_MOST_CLIENTS = 1000


def html(report: Mapping[str, Any]) -> str:
    """The whole page; every text of the report is escaped."""
    run = report["run"]
    parts = {
        "Claims": _claims(report),
        "Problems": _problems(problems(report)),
        "Plots": f'<div class="plots">{plots(report)}</div>',
        "Measured": _audits(report["audit"]),
        "What it rests on": _assumptions(report["assumptions"]),
        "What left the clients": _accesses(report["data_accesses"]),
        "Mechanisms": mechanisms(report["mechanisms"]),
        "Clients": _clients(report["clients"]),
        "Accounting": accounting(report),
        "Trust": trust(report["trust"]),
        "Implementation": implementation(report["implementation"]),
        "The run": the_run(report),
        "In full sentences": _statements(report["claims"]),
    }
    index = "".join(f'<li><a href="#{anchor(title)}">{title}</a></li>' for title in parts)
    sections = "".join(section(title, content) for title, content in parts.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Privacy report: {escape(run['run_id'])}</title><style>{STYLE}</style></head>"
        '<body><a class="skip" href="#main">To the report</a>'
        f'<header><h1>Privacy report</h1><p>{_about(report)}</p></header><main id="main">'
        f'{label(report)}<nav aria-label="Sections"><ul>{index}</ul></nav>{sections}</main>'
        f"<footer><p>Made {escape(report['created'])} from the run's charges. "
        "<code>murmura report verify</code> recomputes every number.</p></footer></body></html>\n"
    )


def _about(report: Mapping[str, Any]) -> str:
    run = report["run"]
    return " · ".join(
        escape(text)
        for text in (
            f"run {run['run_id']}",
            run["execution"],
            f"{run['rounds_done']} of {counted(run['rounds_planned'], 'round')}",
            str(report["created"])[:10],
        )
    )


def _claims(report: Mapping[str, Any]) -> str:
    rows = [_claim(claim, report["audit"]) for claim in report["claims"]]
    caption = "Who learns at most how much; every epsilon is an upper bound, rounded up"
    return table(caption, CLAIM_HEADINGS, rows)


def _claim(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> list[Cell]:
    row: list[Cell] = list(claim_row(claim, audits))
    place = CLAIM_HEADINGS.index("budget")
    row[place] = budget_bar(budget_percent(claim), row[place])
    unbounded = claim["epsilon"] == "inf"
    tone = "bad" if unbounded else "value"
    place = CLAIM_HEADINGS.index("epsilon")
    row[place] = Markup(f'<strong class="{tone}">{escape(row[place])}</strong>')
    return row


def _problems(listed: Sequence[Mapping[str, Any]]) -> str:
    if not listed:
        return "<p>None found.</p>"
    items = [
        f"<li>{badge(p['severity'])} {escape(p['text'])}"
        + (f'<br><span class="fix">What to do: {escape(p["fix"])}</span>' if p.get("fix") else "")
        + f" <code>{escape(p['code'])}</code></li>"
        for p in listed
    ]
    return f'<ul class="problems">{"".join(items)}</ul>'


def _audits(audits: Sequence[Mapping[str, Any]]) -> str:
    if not audits:
        return "<p>Nothing has been measured. <code>murmura audit</code> does.</p>"
    rows: list[list[Cell]] = [
        [a["name"], badge(_judged(a)), words(a["kind"]),
         audit_result(a), _interval(a), number(a["confidence"]), a["threat_model"]]
        for a in audits
    ]  # fmt: skip
    headings = ("audit", "passed", "kind", "result", "interval", "confidence", "against")
    return table("Lower bounds and checks; an estimate is no bound", headings, rows)


def _judged(audit: Mapping[str, Any]) -> str:
    """An estimate cannot fail: it proves nothing."""
    if audit["passed"]:
        return "passed"
    return "above claim" if audit["kind"] == "estimate" else "failed"


def _interval(audit: Mapping[str, Any]) -> str:
    low_high = audit.get("interval")
    return number(None) if not low_high else " to ".join(f"{float(end):.4g}" for end in low_high)


def _assumptions(assumptions: Sequence[Mapping[str, Any]]) -> str:
    rows: list[list[Cell]] = [
        [a["text"], badge(words(a["status"])), a.get("evidence", "")] for a in assumptions
    ]
    return table("Assumptions and whether they hold", ("assumption", "status", "evidence"), rows)


def _accesses(accesses: Sequence[Mapping[str, Any]]) -> str:
    rows: list[list[Cell]] = [
        [a["what"], a["released_to"], badge(words(a["protected"])),
         badge("yes" if a["charged"] else "no"), number(a.get("epsilon"))]
        for a in accesses
    ]  # fmt: skip
    headings = ("what", "to", "protected by", "charged", "epsilon of it alone")
    return table("Everything that was made from private data", headings, rows)


def _clients(clients: Mapping[str, Any]) -> str:
    listed = sorted(clients["per_client"], key=lambda c: -float(c["spent"]))[:_MOST_CLIENTS]
    facts: dict[str, Cell] = {
        "clients": number(clients["count"]),
        "largest epsilon": number(clients.get("epsilon_max")),
        "median epsilon": number(clients.get("epsilon_median")),
        "rounds refused by a ledger": number(clients.get("refused", "")),
        "budgets exhausted": number(clients.get("exhausted", "")),
    }
    told = pairs({name: value for name, value in facts.items() if value != number(None)})
    if not listed:
        return f"{told}<p>What each spent is not in this report: it would tell who took part.</p>"
    caption = "Spent by each client, most first"
    shown = _client_table(caption, listed[:_SHOWN_CLIENTS])
    if rest := listed[_SHOWN_CLIENTS:]:
        more = _client_table(f"{caption}: the rest", rest)
        shown += f"<details><summary>{len(rest)} more</summary>{more}</details>"
    return told + shown


def _client_table(caption: str, listed: Sequence[Mapping[str, Any]]) -> str:
    headings = ["client", "spent", "budget", "rounds", "ledger head"]
    rows = [
        [c["client"], number(c["spent"]), number(c["budget"]), number(c["rounds"]),
         number(c.get("ledger_head"))]
        for c in listed
    ]  # fmt: skip
    if not any(c.get("ledger_head") for c in listed):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    return table(caption, headings, rows)


def _statements(claims: Sequence[Mapping[str, Any]]) -> str:
    return (
        '<ol class="statements">'
        + "".join(f"<li>{escape(claim['statement'])}</li>" for claim in claims)
        + "</ol>"
    )
