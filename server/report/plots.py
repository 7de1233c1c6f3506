"""Which charts a report has, and the sentence that says what each shows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from server.report.bars import Bar, bar_chart
from server.report.charts import Axis, Line, Points, column_chart, line_chart
from server.report.facts import OBSERVERS, audit_result, number, percent_up, words, worst_claim
from shared.counting import counted

_FLOOR = 1e-5
_MOST_COLUMNS = 200
_REPEATED = ", for a round that is repeated is charged again"
_STYLES = ("first", "second", "third")


def plots(report: Mapping[str, Any]) -> str:
    """All charts for which the report has numbers, as HTML figures."""
    claim = worst_claim(report)
    if claim is None:
        return _utility(report)
    return (
        _over_rounds(report, claim)
        + _attack(claim, report["audit"])
        + _bounds(claim, report["audit"])
        + _accesses(report["data_accesses"])
        + _clients(report["clients"]["per_client"])
        + _profile(claim)
        + _utility(report)
        + _price(report)
    )


def _points(curve: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in curve if "inf" not in (a, b)]


def _over_rounds(report: Mapping[str, Any], worst: Mapping[str, Any]) -> str:
    courses = _courses(report["claims"])
    if not courses:
        return ""
    points = _points(worst.get("epsilon_by_round", ()))
    last = max(points[-1][0], 1.0)
    budget = float(worst.get("budget_epsilon", math.inf))
    planned = float(worst["planned_epsilon"])
    # A budget far above all that was spent would press the curve flat.
    shown = budget if budget < 4.0 * max(points[-1][1], 1e-9) else 0.0
    top = 1.1 * max(shown, points[-1][1], planned if math.isfinite(planned) else 0.0)
    lines = [
        Line(name=name, points=[(0.0, 0.0), *course], style=_STYLES[k % 3], upper=True)
        for k, (name, course) in enumerate(courses.items())
    ]
    if shown:
        lines.append(Line(name="budget", points=[(0.0, budget), (last, budget)], style="warn"))
    if worst["epsilon"] < planned <= top:
        lines.append(Line(name="planned", points=[(0.0, planned), (last, planned)], style="faint"))
    unbounded = [_name(c) for c in report["claims"] if c["epsilon"] == "inf"]
    return line_chart(
        "Epsilon over rounds",
        f"Epsilon grows to {worst['epsilon']} after round {last:g}, of {number(planned)} that "
        f"were planned{_REPEATED if worst['epsilon'] > planned else ''}; the budget is "
        f"{number(worst.get('budget_epsilon'))}."
        + (f" Not bounded at all against: {', '.join(unbounded)}." if unbounded else ""),
        lines,
        Axis(label="round", low=0.0, high=last, whole=True),
        Axis(label="epsilon", low=0.0, high=top),
    )


def _courses(claims: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Each course once, named after the observers that it holds against."""
    found: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for claim in claims:
        if course := tuple(_points(claim.get("epsilon_by_round", ()))):
            found.setdefault(course, []).append(_name(claim))
    return {
        "every observer" if len(names) == len(claims) else "; ".join(names): course
        for course, names in found.items()
    }


def _name(claim: Mapping[str, Any]) -> str:
    return OBSERVERS.get(claim["adversary"], words(claim["adversary"]))


def _profile(claim: Mapping[str, Any]) -> str:
    points = [(e, max(d, 1e-16)) for e, d in _points(claim.get("profile", ()))]
    if not points:
        return ""
    low = 10.0 ** math.floor(math.log10(max(points[-1][1], 1e-12)))
    at = (float(claim["epsilon"]), float(claim["delta"]))
    lines = [
        Line(name="delta at each epsilon", points=points, style="first", upper=True),
        Line(name="the claim", points=[(at[0], low), at, (0.0, at[1])], style="warn", upper=True),
    ]
    return line_chart(
        "Other pairs of epsilon and delta",
        f"One mechanism, every pair that it guarantees; the claim is ({at[0]}, {at[1]}).",
        lines,
        Axis(label="epsilon", low=0.0, high=max(points[-1][0], at[0])),
        Axis(label="delta", low=low, high=1.0, log=True),
    )


def _attack(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> str:
    risk = claim.get("risk", {})
    curve = _points(risk.get("tpr_curve") or risk.get("tpr_at_fpr", ()))
    if not curve:
        return ""
    measured = next((_points(audit["roc"]) for audit in audits if audit.get("roc")), [])
    lines = [
        Line(name="most that any attack finds", points=curve, style="first", upper=True),
        Line(
            name="canaries found",
            # Nothing at 0 is on a logarithmic axis, and nothing was measured below the first.
            points=[(a, b) for a, b in measured if a >= _FLOOR and b >= _FLOOR],
            style="second",
        ),
        Line(name="guessing", points=[(_FLOOR, _FLOOR), (1.0, 1.0)], style="faint"),
    ]
    caught = dict(_points(risk.get("tpr_at_fpr", ()))).get(1e-3)
    bound = "" if caught is None else (
        f"At 0.1 % false alarms at most {percent_up(caught)} of members are found. "
    )  # fmt: skip
    canaries = (
        "What the canaries show is a sample, which may lie a little above by chance."
        if measured
        else ""
    )
    return line_chart(
        "What an attacker can find",
        bound + canaries,
        lines,
        Axis(label="false alarms", low=_FLOOR, high=1.0, log=True),
        Axis(label="members found", low=_FLOOR, high=1.0, log=True),
    )


def _bounds(claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]) -> str:
    bars = [
        Bar(
            name=f"{audit['name']} ({words(audit['kind'])})",
            value=float(audit["result"]),
            text=audit_result(audit),
            limit=audit.get("ceiling"),
            interval=_ends(audit.get("interval")),
            note=words(audit["kind"]),
            style="second" if audit["kind"] == "lower_bound" else "third",
        )
        for audit in audits
        if audit["kind"] in {"lower_bound", "estimate"}
        and isinstance(audit["result"], int | float)
        and audit.get("claim_id") == claim["id"]
    ]
    if not bars:
        return ""
    promised = Bar(
        name="promised (upper bound)",
        value=float(claim["epsilon"]),
        text=number(claim["epsilon"]),
        note="upper bound",
    )
    return bar_chart(
        "Promised and measured",
        "The truth lies between the promise and the largest lower bound. A mark is the most "
        "that so many guesses could have shown, a whisker an estimate's interval.",
        [promised, *bars],
        "epsilon",
    )


def _ends(interval: Sequence[Any] | None) -> tuple[float, float] | None:
    return (float(interval[0]), float(interval[1])) if interval else None


def _clients(listed: Sequence[Mapping[str, Any]]) -> str:
    found = [c for c in listed if "inf" not in (c["spent"], c["budget"])]
    spent = sorted(((c["client"], float(c["spent"])) for c in found), key=lambda pair: -pair[1])
    if not spent:
        return ""
    budgets = {float(c["budget"]) for c in found}
    limit = budgets.pop() if len(budgets) == 1 else None
    top = 1.1 * max(limit or 0.0, spent[0][1]) or 1.0
    above = sum(float(c["spent"]) > float(c["budget"]) for c in found)
    return column_chart(
        "Spent by each client",
        f"{counted(len(found), 'client')}; the most spent is {spent[0][1]}, "
        f"the least {spent[-1][1]}. {above or 'None'} above its budget.",
        spent[:_MOST_COLUMNS],
        limit,
        Axis(label="epsilon", low=0.0, high=top),
    )


def _accesses(accesses: Sequence[Mapping[str, Any]]) -> str:
    bars = [
        Bar(
            name=str(a["what"]), value=float(a["epsilon"]), text=number(a["epsilon"]),
            note=str(a.get("kind", "")),
        )
        for a in accesses
        if a.get("epsilon") not in (None, "inf")
    ]  # fmt: skip
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
    points = _points(utility.get("by_round", ()))
    if not points:
        return ""
    metric, last = str(utility.get("metric", "score")), points[-1]
    return line_chart(
        "Utility over rounds",
        f"{metric}, evaluated on {words(str(utility.get('evaluated_on', 'public')))} data: "
        f"{last[1]:.4g} after round {last[0]:g}.",
        [Line(name=metric, points=points, style="second")],
        Axis(label="round", low=0.0, high=max(last[0], 1.0), whole=True),
        _metric_axis(metric, points),
    )


def _price(report: Mapping[str, Any]) -> str:
    utility = report.get("utility", {})
    points = _points(utility.get("by_epsilon", ()))
    if len(points) < 2:
        return ""
    metric, last = str(utility.get("metric", "score")), points[-1]
    return line_chart(
        "Utility for epsilon",
        f"What had been reached when so much epsilon was spent: {metric} {last[1]:.4g} at "
        f"epsilon {number(last[0])}.",
        [Line(name=metric, points=points, style="second")],
        Axis(label="epsilon", low=0.0, high=1.05 * max(last[0], 1e-6)),
        _metric_axis(metric, points),
    )


def _metric_axis(metric: str, points: Points) -> Axis:
    values = [value for _, value in points]
    low, high = min(0.0, *values, 0.0), max(*values, 0.0, 0.0)
    # A share of one is shown on the whole scale, so that little does not look like much.
    return Axis(label=metric, low=low, high=1.0 if low >= 0.0 and high <= 1.0 else 1.05 * high)
