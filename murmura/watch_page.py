"""The page of one run: how far it is, what it spent, and what was measured, by round."""

import math
from collections.abc import Callable, Sequence
from html import escape

from murmura.course import Course, Points
from murmura.page_frame import chart, page, rounds_axis, value_axis
from murmura.wording import (
    UNICODE_SIGNS,
    UNITS,
    duration_text,
    epsilon_text,
    loss_text,
    model_text,
    score_text,
)
from server.report.charts import Axis, Line, number_text
from server.report.facts import OBSERVERS
from server.report.tables import Cell, badge, pairs
from shared.counting import counted

_MOST_METRICS = 24
_REPEATED = " More than planned: a round that is repeated is charged again."
_FOOTER = "<p>Read from the run's folder. <code>murmura report</code> shows what is promised.</p>"


def parts(course: Course) -> dict[str, str]:
    """Markup of each part of the page by its place, in their order; every text is escaped."""
    found = {"head": _head(course), "facts": _facts(course)}
    return found | {f"plot-{place}": markup for place, markup in enumerate(plots(course))}


def whole(course: Course, *, script: str = "") -> str:
    """The page, which shows what is known now; `script` may put newer parts in their places."""
    found = parts(course)
    drawn = "".join(f'<div id="{at}">{found[at]}</div>' for at in found if at.startswith("plot"))
    said = '<p class="said" id="said" role="status"></p>' if script else ""
    return page(
        title(course),
        f'<div id="head">{found["head"]}</div>',
        f'<div id="facts" class="facts">{found["facts"]}</div>{said}'
        f'<div class="plots" id="plots">{drawn}</div>',
        _FOOTER,
        script=script,
    )


def title(course: Course) -> str:
    """What the browser calls it."""
    return f"{course.name}: {course.status}"


def plots(course: Course) -> Sequence[str]:
    """All charts for which there are numbers."""
    found = [
        _measured(course, "Loss", "loss", "private_loss"),
        _measured(course, "Accuracy", "accuracy", "private_accuracy"),
        _epsilon(course),
        _clients(course),
        _seconds(course),
        *[_measured(course, name, name) for name in course.metrics()[:_MOST_METRICS]],
    ]
    return [markup for markup in found if markup]


def _head(course: Course) -> str:
    started = course.started
    about = "" if started is None else " · ".join(
        (
            f"task {started.task}",
            model_text(started.model),
            f"{started.dimension:,} parameters",
            counted(started.population, "client"),
        )
    )  # fmt: skip
    why = f"<p>{escape(course.why)}</p>" if course.why else ""
    return (
        f"<h1>{escape(course.name)}</h1><p>{badge(course.status)} {escape(about)}</p>"
        f"{why}{_promise(course)}"
    )


def _promise(course: Course) -> str:
    if course.started is None:
        return ""
    claim = course.claim
    if claim is None:
        text = "No differential privacy: nothing is promised to anybody."
    else:
        text = (
            f"Planned: ε ≤ {epsilon_text(claim.epsilon)} at δ = {claim.delta:g} for "
            f"{UNITS.get(claim.unit, claim.unit)}, {claim.adjacency.replace('_', ' ')}, against "
            f"{OBSERVERS.get(claim.adversary, claim.adversary)}."
        )
    if course.started.seeded:
        text += " Seeded randomness: no guarantee holds for real data."
    return f"<p>{escape(text)}</p>"


def _facts(course: Course) -> str:
    if course.started is None or not course.rounds:
        return pairs({"rounds": "none yet"})
    last, signs = course.rounds[-1], UNICODE_SIGNS
    spent = epsilon_text(last.epsilon, signs)
    facts: dict[str, Cell] = {
        "rounds": f"{last.round_number} of {course.started.rounds}",
        "accuracy": _newest(course, "accuracy", score_text),
        "loss": _newest(course, "loss", loss_text),
        "ε of its budget": f"{spent} of {epsilon_text(last.epsilon_budget, signs)}"
        if math.isfinite(last.epsilon)
        else "not bounded",
        "answered in the last round": f"{last.answered} of {last.asked}",
        "answers lost in all": str(sum(event.lost for event in course.rounds)),
        "rejected in all": str(sum(event.rejected for event in course.rounds) or ""),
        "time in rounds": duration_text(sum(event.seconds for event in course.rounds)),
        "time left, about": _left(course),
    }
    return pairs(facts)


def _newest(course: Course, name: str, written: Callable[[float], str]) -> str:
    points = course.by_round(name)
    return written(points[-1][1]) if points else ""


def _left(course: Course) -> str:
    if course.status != "under way" or course.started is None:
        return ""
    recent = course.rounds[-5:]
    rest = course.started.rounds - recent[-1].round_number
    return duration_text(rest * sum(event.seconds for event in recent) / len(recent))


def _measured(course: Course, heading: str, public: str, private: str = "") -> str:
    lines = [Line(name=f"{public}, public data", points=course.measured(public), style="first")]
    if private:
        points = course.measured(private)
        lines.append(Line(name="at the sites, with noise", points=points, style="second"))
    values = [value for line in lines for _, value in line.points]
    if not values:
        return ""
    shown = lines[0].points or lines[1].points
    described = f"{number_text(shown[-1][1])} after round {shown[-1][0]:g}"
    # A loss is no share, however small it is.
    axis = value_axis(public, values, share="loss" not in public.lower())
    return chart(heading, f"{described}.", lines, rounds_axis(_last(course)), axis)


def _epsilon(course: Course) -> str:
    points = course.by_round("epsilon")
    if not points:
        return ""
    last, budget = _last(course), course.rounds[-1].epsilon_budget
    planned = course.claim.epsilon if course.claim else math.inf
    spent = points[-1][1]
    lines = [Line(name="spent", points=[(0.0, 0.0), *points], style="first", upper=True)]
    top = max(spent, planned if math.isfinite(planned) else 0.0)
    if math.isfinite(planned):
        lines.append(Line(name="planned", points=_level(planned, last), style="faint"))
    # A budget far above all that is planned would press the curve flat.
    if budget < 4.0 * max(top, 1e-9):
        lines.append(Line(name="budget", points=_level(budget, last), style="warn"))
        top = max(top, budget)
    return chart(
        "Epsilon against its budget",
        f"{number_text(spent, upper=True)} spent after round {points[-1][0]:g}; the budget is "
        f"{number_text(budget)}. Every value is an upper bound."
        + (_REPEATED if spent > planned else ""),
        lines,
        rounds_axis(last),
        Axis(label="epsilon", low=0.0, high=1.1 * top or 1.0),
    )


def _clients(course: Course) -> str:
    named = {"asked": "faint", "answered": "second", "lost": "warn"}
    lines = [Line(name=n, points=course.by_round(n), style=s) for n, s in named.items()]
    rejected = course.by_round("rejected")
    if any(value for _, value in rejected):
        lines.append(Line(name="rejected", points=rejected, style="third"))
    counts = [value for line in lines for _, value in line.points]
    if not counts:
        return ""
    last = course.rounds[-1]
    return chart(
        "Clients",
        f"{last.answered} of {last.asked} answered in round {last.round_number}; "
        f"{counted(sum(e.lost for e in course.rounds), 'answer')} lost in all.",
        lines,
        rounds_axis(_last(course)),
        Axis(label="clients", low=0.0, high=max(1.05 * max(counts), 1.0), whole=True),
    )


def _seconds(course: Course) -> str:
    points = course.by_round("seconds")
    if not points:
        return ""
    total = sum(value for _, value in points)
    return chart(
        "Seconds a round",
        f"{number_text(points[-1][1])} s in round {points[-1][0]:g}, {duration_text(total)} in "
        "all rounds.",
        [Line(name="seconds", points=points, style="first")],
        rounds_axis(_last(course)),
        value_axis("seconds", [value for _, value in points]),
    )


def _level(value: float, last: float) -> Points:
    return [(0.0, value), (max(last, 1.0), value)]


def _last(course: Course) -> float:
    """Of the axis: all that are planned, so that the curve grows to the right."""
    done = course.rounds[-1].round_number if course.rounds else 0
    return float(max(done, course.started.rounds if course.started else 0))
