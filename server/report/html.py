"""The report as one self-contained HTML page: no script, no request, light, dark and print."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from server.report.facts import (
    CLAIM_HEADINGS,
    LEVELS,
    OBSERVERS,
    claim_row,
    lower_bound,
    number,
    words,
    worst_claim,
)
from server.report.plots import plots
from server.report.style import STYLE

Cell = str
_MOST_CLIENTS = 50


def html(report: Mapping[str, Any]) -> str:
    """The whole page; every text of the report is escaped."""
    run = report["run"]
    sections = [
        _section("Claims", _claims(report)),
        _section("Problems", _problems(report["verdict"]["problems"])),
        _section("Plots", f'<div class="plots">{plots(report)}</div>'),
        _section("Measured", _audits(report["audit"])),
        _section("What it rests on", _assumptions(report["assumptions"])),
        _section("What left the clients", _accesses(report["data_accesses"])),
        _section("Mechanisms", _mechanisms(report["mechanisms"])),
        _section("Clients", _clients(report["clients"])),
        _section("Trust and implementation", _trust(report)),
        _section("The run", _run(report)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Privacy report: {escape(run['run_id'])}</title><style>{STYLE}</style></head>"
        '<body><a class="skip" href="#main">To the report</a>'
        f"<header><p>Murmura privacy report</p><h1>{escape(run['run_id'])}</h1></header>"
        f'<main id="main">{_label(report)}{"".join(sections)}</main>'
        f"<footer><p>Made {escape(report['created'])} from the run's charges. Check it with "
        "<code>murmura report verify</code>.</p></footer></body></html>\n"
    )


def _label(report: Mapping[str, Any]) -> str:
    """The verdict at a glance."""
    verdict, claim = report["verdict"], worst_claim(report)
    level = verdict["level"]
    facts = ""
    if claim is not None:
        measured = lower_bound(claim, report["audit"])
        against = OBSERVERS.get(claim["adversary"], claim["adversary"])
        facts = (
            f'<p class="epsilon">ε ≤ <strong>{escape(number(claim["epsilon"]))}</strong></p><dl>'
            + _pair("δ", number(claim["delta"]))
            + _pair("protects", f"one {claim['unit']}")
            + _pair("adjacency", words(claim["adjacency"]))
            + _pair("against", against)
            + _pair("measured", "–" if measured is None else f"ε ≥ {measured}")  # noqa: RUF001
            + _pair("without secret sampling", f"ε ≤ {number(claim['no_amplification_epsilon'])}")
            + "</dl>"
        )
    return (
        f'<section class="label {escape(level)}" aria-label="verdict"><h2>{LEVELS[level]}</h2>'
        f"<p>{escape(verdict['one_line'])}</p>{facts}</section>"
    )


def _pair(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _section(title: str, content: str) -> str:
    name = title.lower().replace(" ", "-")
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls on a narrow screen; cells are escaped text."""
    if not rows:
        return "<p>Nothing.</p>"
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _claims(report: Mapping[str, Any]) -> str:
    rows = [claim_row(claim, report["audit"]) for claim in report["claims"]]
    statements = "".join(f"<li>{escape(claim['statement'])}</li>" for claim in report["claims"])
    caption = "Who learns at most how much; every epsilon is an upper bound, rounded up"
    return (
        table(caption, CLAIM_HEADINGS, rows) + f"<details><summary>In full sentences</summary>"
        f'<ol class="statements">{statements}</ol></details>'
    )


def _problems(problems: Sequence[Mapping[str, Any]]) -> str:
    if not problems:
        return "<p>None found.</p>"
    items = [
        f'<li class="{escape(p["severity"])}"><strong>{escape(p["severity"])}</strong> '
        f"<code>{escape(p['code'])}</code> {escape(p['text'])}"
        + (f"<br>What to do: {escape(p['fix'])}" if p.get("fix") else "")
        + "</li>"
        for p in problems
    ]
    return f'<ul class="problems">{"".join(items)}</ul>'


def _audits(audits: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (a["name"], words(a["kind"]), number(a["result"]), _interval(a), number(a["confidence"]),
         "yes" if a["passed"] else "NO", a["threat_model"])
        for a in audits
    ]  # fmt: skip
    headings = ("audit", "kind", "epsilon or result", "interval", "confidence", "passed", "against")
    return table("Lower bounds and checks; an estimate is no bound", headings, rows)


def _interval(audit: Mapping[str, Any]) -> str:
    low_high = audit.get("interval")
    return "–" if not low_high else " to ".join(f"{float(end):.4g}" for end in low_high)  # noqa: RUF001


def _assumptions(assumptions: Sequence[Mapping[str, Any]]) -> str:
    rows = [(a["status"], a["text"], a.get("evidence", "")) for a in assumptions]
    return table("Assumptions and whether they hold", ("status", "assumption", "evidence"), rows)


def _accesses(accesses: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (a["what"], a["released_to"], a["protected"], "yes" if a["charged"] else "NO",
         number(a.get("epsilon")))
        for a in accesses
    ]  # fmt: skip
    headings = ("what", "to", "protected by", "charged", "epsilon of it alone")
    return table("Everything that was made from private data", headings, rows)


def _mechanisms(mechanisms: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (m["name"], number(m["clip_norm"]), number(m["noise_multiplier"]),
         words(m["noise_placed_by"]), words(m["sampling"]["scheme"]),
         number(m["sampling"].get("q")), number(m["steps"]))
        for m in mechanisms
    ]  # fmt: skip
    headings = ("name", "clip", "noise multiplier", "noise by", "sampling", "rate", "steps")
    return table("What protects one unit", headings, rows)


def _clients(clients: Mapping[str, Any]) -> str:
    listed = clients["per_client"][:_MOST_CLIENTS]
    rows = [
        (c["client"], number(c["spent"]), number(c["budget"]), number(c["rounds"]),
         number(c.get("ledger_head")))
        for c in listed
    ]  # fmt: skip
    headings = ("client", "spent", "budget", "rounds", "ledger head")
    more = f"<p>{len(listed)} of {escape(number(clients['count']))} clients.</p>"
    return table("Spent by each client, most first", headings, rows) + more


def _trust(report: Mapping[str, Any]) -> str:
    trust, made = report["trust"], report["implementation"]
    rows = [(p["party"], p.get("trusted_for", ""), p.get("sees", "")) for p in trust["parties"]]
    facts = "".join(
        _pair(words(key), str(value)) for key, value in made.items() if isinstance(value, str)
    )
    parties = table("Parties", ("party", "trusted for", "sees"), rows)
    return f"{parties}<dl>{facts}</dl>"


def _run(report: Mapping[str, Any]) -> str:
    run, accounting = report["run"], report["accounting"]
    facts = {
        "rounds": f"{run['rounds_done']} of {run['rounds_planned']}",
        "execution": run["execution"],
        "randomness": words(run["seed_policy"]),
        "plan": run["plan_hash"],
        "code": run["git_commit"],
        "accounting": f"{accounting['library']} {accounting['version']}",
        "ledger": f"{words(report['ledger']['scope'])}, enforced at "
        f"{report['ledger']['enforced_at']}",
    }
    return "<dl>" + "".join(_pair(name, str(value)) for name, value in facts.items()) + "</dl>"
