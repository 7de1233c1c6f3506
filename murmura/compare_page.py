"""The page of a comparison: utility against epsilon, curves by round, and a table."""

from collections.abc import Sequence
from html import escape

from murmura.comparison import Compared, Comparison, EpsilonAxis
from murmura.page_frame import STYLES, chart, page, rounds_axis, value_axis
from murmura.wording import UNICODE_SIGNS, duration_text, epsilon_text, loss_text
from server.report.charts import Axis, Line
from server.report.tables import table


def compare_page(comparison: Comparison) -> str:
    """Needs nothing else and runs nothing; every text is escaped."""
    runs = comparison.runs
    style = {run.name: STYLES[place] for place, run in enumerate(runs)}
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    charts = [
        *[_price(comparison, axis, style) for axis in comparison.axes],
        _by_round(comparison, comparison.metric, style),
        _by_round(comparison, "loss", style) if comparison.metric != "loss" else "",
        _epsilons(comparison, style),
        _by_time(comparison, style),
    ]
    headings, rows = table_of(comparison)
    return page(
        "Runs compared",
        f"<h1>Runs compared</h1><p>{len(runs)} runs</p>",
        f'<ul class="notes">{notes}</ul>{table("Where each run is", headings, rows)}'
        f'<div class="plots">{"".join(charts)}</div>',
        "<p>Read from the runs' folders.</p>",
    )


def table_of(comparison: Comparison) -> tuple[Sequence[str], list[list[str]]]:
    """Headings and one row a run; the terminal shows the same."""
    named = [comparison.metric] if comparison.metric != "loss" else []
    headings = ["run", "protects", "ε of budget", *named, "loss", "rounds", "time"]
    return headings, [_row(comparison, run, named) for run in comparison.runs]


def _row(comparison: Comparison, run: Compared, named: Sequence[str]) -> list[str]:
    axis, signs, course = comparison.axis_of(run), UNICODE_SIGNS, run.course
    loss = course.measured("loss")
    spent = "not bounded" if axis is None else (
        f"{epsilon_text(run.final(axis.basis), signs)} of {epsilon_text(run.budget, signs)}"
    )  # fmt: skip
    return [
        run.name,
        "nobody" if axis is None else f"one {axis.basis.unit}",
        spent,
        *[_last(run, name, "{:.4g}") for name in named],
        loss_text(loss[-1][1] if loss else None, signs),
        f"{len(course.rounds)} of {course.started.rounds if course.started else 0}",
        duration_text(sum(event.seconds for event in course.rounds)),
    ]


def _last(run: Compared, name: str, form: str) -> str:
    points = run.course.measured(name)
    return form.format(points[-1][1]) if points else UNICODE_SIGNS.absent


def _price(comparison: Comparison, axis: EpsilonAxis, style: dict[str, str]) -> str:
    """Utility against epsilon; runs without privacy as the level that they reached."""
    metric = comparison.metric
    curves = {run.name: run.price(axis.basis, metric) for run in axis.runs}
    spent = [epsilon for points in curves.values() for epsilon, _ in points]
    if not spent:
        return ""
    highest = max(spent)
    lines = [Line(name=n, points=points, style=style[n]) for n, points in curves.items()]
    for run in comparison.runs:
        reached = run.course.measured(metric)
        if not run.spent and reached:
            level = [(0.0, reached[-1][1]), (highest, reached[-1][1])]
            lines.append(Line(name=f"{run.name}: no privacy", points=level, style=style[run.name]))
    values = [value for line in lines for _, value in line.points]
    y = value_axis(metric, values, share="loss" not in metric)
    budgets = sorted({run.budget for run in axis.runs if run.budget is not None})
    shown = [budget for budget in budgets if budget < 4.0 * highest]
    lines += [
        Line(name=f"budget {budget:g}", points=[(budget, y.low), (budget, y.high)], style="warn")
        for budget in shown
    ]
    apart = f" ({axis.basis.unit})" if len(comparison.axes) > 1 else ""
    far = ", ".join(f"{budget:g}" for budget in budgets if budget not in shown)
    return chart(
        f"{metric} against epsilon{apart}",
        f"What had been reached when so much was spent. Epsilon for {axis.basis}."
        + (f" Not drawn, since far to the right: budget {far}." if far else ""),
        lines,
        Axis(label="epsilon", low=0.0, high=1.05 * max([highest, *shown, 1e-9])),
        y,
    )


def _by_round(comparison: Comparison, name: str, style: dict[str, str]) -> str:
    lines = [
        Line(name=run.name, points=run.course.measured(name), style=style[run.name])
        for run in comparison.runs
    ]
    return _over_rounds(f"{name} by round", "On public data, where it was measured.", name, lines)


def _epsilons(comparison: Comparison, style: dict[str, str]) -> str:
    """Where all are of one kind."""
    if len(comparison.axes) != 1:
        return ""
    axis = comparison.axes[0]
    lines = [
        Line(
            name=run.name,
            points=sorted(run.spent[axis.basis].items()),
            style=style[run.name],
            upper=True,
        )
        for run in axis.runs
    ]
    return _over_rounds("epsilon by round", f"For {axis.basis}.", "epsilon", lines)


def _over_rounds(title: str, described: str, name: str, lines: Sequence[Line]) -> str:
    values = [value for line in lines for _, value in line.points]
    if not values:
        return ""
    last = max(place for line in lines for place, _ in line.points)
    y = value_axis(name, values, share="loss" not in name and name != "epsilon")
    return chart(title, described, lines, rounds_axis(last), y)


def _by_time(comparison: Comparison, style: dict[str, str]) -> str:
    """Seconds in rounds, summed up."""
    lines = []
    for run in comparison.runs:
        spent, points = 0.0, []
        measured = dict(run.course.measured(comparison.metric))
        for event in run.course.rounds:
            spent += event.seconds
            if event.round_number in measured:
                points.append((spent, measured[event.round_number]))
        lines.append(Line(name=run.name, points=points, style=style[run.name]))
    values = [value for line in lines for _, value in line.points]
    if not values:
        return ""
    longest = max(place for line in lines for place, _ in line.points)
    return chart(
        f"{comparison.metric} by seconds",
        "Seconds in rounds, as the server's clock told; comparable on one machine alone.",
        lines,
        Axis(label="seconds", low=0.0, high=longest or 1.0),
        value_axis(comparison.metric, values, share="loss" not in comparison.metric),
    )
