"""The page of a comparison: utility against epsilon, curves by round, and a table."""

from collections.abc import Callable, Sequence
from html import escape

from murmura.comparison import Compared, Comparison, EpsilonAxis
from murmura.page_frame import STYLES, chart, page, rounds_axis, value_axis
from murmura.wording import UNICODE_SIGNS, bytes_text, duration_text, epsilon_text, loss_text
from server.progress import RoundFinished
from server.report.charts import Axis, Line
from server.report.tables import table
from shared.counting import counted

_EXCHANGED = "What messages to all clients, and from them, held"


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
        _by_bytes(comparison, style),
    ]
    headings, rows = table_of(comparison)
    exchanged = table(_EXCHANGED, *traffic) if (traffic := traffic_of(comparison))[1] else ""
    return page(
        "Runs compared",
        f"<h1>Runs compared</h1><p>{counted(len(runs), 'run')}</p>",
        f'<ul class="notes">{notes}</ul>{table("Where each run is", headings, rows)}{exchanged}'
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
    return [
        run.name,
        _protected(run, axis),
        _spent(run, axis),
        *[_last(run, name, "{:.4g}") for name in named],
        loss_text(loss[-1][1] if loss else None, signs),
        f"{len(course.rounds)} of {course.started.rounds if course.started else 0}",
        duration_text(sum(event.seconds for event in course.rounds)),
    ]


def _protected(run: Compared, axis: EpsilonAxis | None) -> str:
    if axis is None:
        return UNICODE_SIGNS.absent if run.unbegun else "nobody"
    return f"one {axis.basis.unit}"


def _spent(run: Compared, axis: EpsilonAxis | None) -> str:
    if run.unbegun or (axis is not None and run.budget is None):
        return "no round done"
    if axis is None:
        return "not bounded"
    spent, signs = run.final(axis.basis), UNICODE_SIGNS
    return f"{epsilon_text(spent, signs)} of {epsilon_text(run.budget, signs)}"


def traffic_of(comparison: Comparison) -> tuple[Sequence[str], list[list[str]]]:
    """Headings and one row a run: bytes to clients and from them; no rows if none were counted."""
    headings = ["run", "down a round", "up a round", "down in all", "up in all"]
    told = [(run, run.course.to_json()) for run in comparison.runs]
    if all(content["bytes_up"] is None for _, content in told):
        return headings, []
    rows = []
    for run, content in told:
        totals = [content["bytes_down"], content["bytes_up"]]
        count = len(run.course.rounds)
        means = [None if total is None else total / count for total in totals]
        texts = [bytes_text(number, UNICODE_SIGNS) for number in (*means, *totals)]
        rows.append([run.name, *texts])
    return headings, rows


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
    return _by_cost(
        comparison,
        style,
        (
            "seconds",
            "Seconds in rounds, as the server's clock told; comparable on one machine alone.",
        ),
        lambda event: event.seconds,
    )


def _by_bytes(comparison: Comparison, style: dict[str, str]) -> str:
    """Megabytes both ways, summed up; nothing where a run has rounds without."""
    if any(run.course.to_json()["bytes_up"] is None for run in comparison.runs):
        return ""
    return _by_cost(
        comparison,
        style,
        ("megabytes", "What messages to all clients and from them held."),
        lambda event: ((event.bytes_down or 0) + (event.bytes_up or 0)) / 1e6,
    )


def _by_cost(
    comparison: Comparison,
    style: dict[str, str],
    told: tuple[str, str],
    cost: Callable[[RoundFinished], float],
) -> str:
    """Utility against what rounds cost, summed up; `told` is its unit and what it is."""
    lines = []
    for run in comparison.runs:
        spent, points = 0.0, []
        measured = dict(run.course.measured(comparison.metric))
        for event in run.course.rounds:
            spent += cost(event)
            if event.round_number in measured:
                points.append((spent, measured[event.round_number]))
        lines.append(Line(name=run.name, points=points, style=style[run.name]))
    values = [value for line in lines for _, value in line.points]
    if not values:
        return ""
    most = max(place for line in lines for place, _ in line.points)
    return chart(
        f"{comparison.metric} by {told[0]}",
        told[1],
        lines,
        Axis(label=told[0], low=0.0, high=most or 1.0),
        value_axis(comparison.metric, values, share="loss" not in comparison.metric),
    )
