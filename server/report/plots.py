"""Which charts a report has, and the sentence that says what each shows."""

import math
from collections.abc import Mapping
from typing import Any

from server.report.charts import Axis, Bar, Line, bar_chart, line_chart
from server.report.facts import percent_up, worst_claim

_FLOOR = 1e-5
_MOST_BARS = 20


def plots(report: Mapping[str, Any]) -> str:
    """All charts for which the report has numbers, as HTML figures."""
    claim = worst_claim(report)
    about_claim = (
        "" if claim is None else _over_rounds(claim) + _profile(claim) + _attack(claim, report)
    )
    return about_claim + _bounds(report) + _clients(report) + _accesses(report) + _utility(report)


def _over_rounds(claim: Mapping[str, Any]) -> str:
    points = [(float(a), float(b)) for a, b in claim.get("epsilon_by_round", [])]
    if not points:
        return ""
    last, budget = points[-1][0], float(claim["budget_epsilon"])
    top = 1.1 * max(budget if budget < 4 * points[-1][1] else 0.0, points[-1][1])
    lines = [
        Line(name="epsilon after each round", points=[(0.0, 0.0), *points], style="first"),
        Line(name="budget", points=[(0.0, budget), (last, budget)], style="warn"),
    ]
    return line_chart(
        "Epsilon over rounds",
        f"Epsilon grows to {claim['epsilon']} after round {last:g}; the budget is {budget:g}.",
        lines if budget <= top else lines[:1],
        Axis(label="round", low=0.0, high=last),
        Axis(label="epsilon", low=0.0, high=top),
    )


def _profile(claim: Mapping[str, Any]) -> str:
    points = [(float(e), max(float(d), 1e-16)) for e, d in claim.get("profile", [])]
    if not points:
        return ""
    low = 10.0 ** math.floor(math.log10(max(points[-1][1], 1e-12)))
    at = (float(claim["epsilon"]), float(claim["delta"]))
    lines = [
        Line(name="delta at each epsilon", points=points, style="first"),
        Line(name="the claim", points=[(at[0], low), at, (0.0, at[1])], style="warn"),
    ]
    return line_chart(
        "Privacy profile",
        f"One mechanism, every pair of epsilon and delta; the claim is ({at[0]}, {at[1]}).",
        lines,
        Axis(label="epsilon", low=0.0, high=points[-1][0]),
        Axis(label="delta", low=low, high=1.0, log=True),
    )


def _attack(claim: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    curve = [(float(a), float(b)) for a, b in claim.get("risk", {}).get("tpr_curve", [])]
    if not curve:
        return ""
    measured: list[list[float]] = next(
        (audit["roc"] for audit in report["audit"] if audit.get("roc")), []
    )
    lines = [
        Line(name="most that any attack finds", points=curve, style="first"),
        Line(
            name="canaries found",
            points=[(max(a, _FLOOR), max(b, _FLOOR)) for a, b in measured],
            style="second",
        ),
        Line(name="guessing", points=[(_FLOOR, _FLOOR), (1.0, 1.0)], style="faint"),
    ]
    caught = {float(a): float(b) for a, b in claim["risk"]["tpr_at_fpr"]}[1e-3]
    return line_chart(
        "What an attacker can find",
        f"At 0.1 % false alarms at most {percent_up(caught)} of members are found. What the "
        "canaries show is a sample, and no bound.",
        lines,
        Axis(label="false alarms", low=_FLOOR, high=1.0, log=True),
        Axis(label="members found", low=_FLOOR, high=1.0, log=True),
    )


def _bounds(report: Mapping[str, Any]) -> str:
    claim = worst_claim(report)
    if claim is None:
        return ""
    bars = [
        Bar(name=a["name"], value=float(a["result"]), limit=a.get("ceiling"), note=a["kind"])
        for a in report["audit"]
        if isinstance(a["result"], int | float) and "canaries" in a
    ]
    if not bars:
        return ""
    bars.append(Bar(name="the claim", value=float(claim["epsilon"]), note="upper bound"))
    return bar_chart(
        "Upper and lower bounds",
        "Measured bounds and estimates beside the claim; the mark is the most that so many "
        "guesses could have shown.",
        bars,
        "epsilon",
    )


def _clients(report: Mapping[str, Any]) -> str:
    bars = [
        Bar(name=c["client"], value=float(c["spent"]), limit=float(c["budget"]))
        for c in report["clients"]["per_client"][:_MOST_BARS]
        if "inf" not in (c["spent"], c["budget"])
    ]
    return bar_chart(
        "Spent by client", "Epsilon of each client; the mark is its budget.", bars, "epsilon"
    )


def _accesses(report: Mapping[str, Any]) -> str:
    bars = [
        Bar(name=str(a.get("kind", a["what"])), value=float(a["epsilon"]))
        for a in report["data_accesses"]
        if a.get("epsilon") not in (None, "inf")
    ]
    if len(bars) < 2:
        return ""
    return bar_chart(
        "What epsilon was spent on",
        "Epsilon of each kind of access alone; together they cost less than their sum.",
        bars,
        "epsilon",
    )


def _utility(report: Mapping[str, Any]) -> str:
    utility = report.get("utility", {})
    points = [(float(a), float(b)) for a, b in utility.get("by_round", [])]
    if not points:
        return ""
    last = points[-1]
    return line_chart(
        "Utility over rounds",
        f"{utility.get('metric', 'score')} on public data; {last[1]:.4g} after round {last[0]:g}.",
        [Line(name=str(utility.get("metric", "score")), points=points, style="second")],
        Axis(label="round", low=0.0, high=max(last[0], 1.0)),
        Axis(label=str(utility.get("metric", "score")), low=0.0, high=1.0),
    )
