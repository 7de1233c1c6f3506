"""The charts: numbers become places, and every number can be read."""

import re
from typing import Any

import pytest

from server.report.bars import Bar, bar_chart, scale
from server.report.charts import Axis, Line, column_chart, line_chart, number_text
from server.report.plots import plots
from tests.server.report.reports import CANARIES, report


def points(drawn: str) -> list[tuple[float, float]]:
    """Places of a chart's first curve."""
    found = re.search(r'<polyline[^>]*points="([^"]+)"', drawn)
    assert found is not None
    return [tuple(map(float, place.split(","))) for place in found.group(1).split()]  # type: ignore[misc]


def line(*values: tuple[float, float]) -> Line:
    """One curve."""
    return Line(name="curve", points=values, style="first")


def test_a_curve_goes_where_its_numbers_say() -> None:
    """Right is more, up is more, a power of ten is one step on a logarithmic axis."""
    linear = Axis(label="x", low=0.0, high=10.0)
    log = Axis(label="y", low=1e-4, high=1.0, log=True)
    drawn = line_chart("t", "d", [line((0.0, 1e-4), (5.0, 1e-2), (10.0, 1.0))], linear, log)
    (x0, y0), (x1, y1), (x2, y2) = points(drawn)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert y2 < y0


def test_numbers_beyond_an_axis_stay_inside_the_picture() -> None:
    """Cut at its ends, never drawn outside."""
    axis = Axis(label="x", low=0.0, high=1.0)
    drawn = line_chart("t", "d", [line((-9.0, -9.0), (9.0, 9.0))], axis, axis)
    assert all(0 <= x <= 640 and 0 <= y <= 300 for x, y in points(drawn))


@pytest.mark.parametrize("high", [1e-3, 0.7, 1.0, 8.0, 60.0, 12345.0])
def test_axes_have_a_handful_of_round_ticks(high: float) -> None:
    """Inside the axis, ascending."""
    ticks = Axis(label="x", low=0.0, high=high).ticks()
    assert 3 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    assert 0.0 <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)


def test_an_axis_of_rounds_marks_whole_ones() -> None:
    """There is no half of a round."""
    for high in (1.0, 3.0, 7.0, 60.0):
        ticks = Axis(label="round", low=0.0, high=high, whole=True).ticks()
        assert all(tick == int(tick) for tick in ticks)
        assert len(ticks) == len(set(ticks)) >= 2


def test_every_number_of_a_chart_is_in_its_table() -> None:
    """For who cannot see it."""
    axis = Axis(label="x", low=0.0, high=10.0)
    drawn = line_chart("t", "d", [line((1.0, 2.25)), line((3.0, 4.125))], axis, axis)
    for value in ("2.25", "4.125"):
        assert f"<td>{value}</td>" in drawn


def test_bars_show_their_limit_and_a_chart_without_numbers_is_none() -> None:
    """An infinite limit has no mark."""
    bars = [
        Bar(name="a" * 60, value=1.0, text="1", limit=2.0, note="x", interval=(0.5, 90.0)),
        Bar(name="b", value=0.0, text="0", limit=float("inf")),
    ]
    drawn = bar_chart("t", "d", bars, "epsilon")
    assert drawn.count('class="limit"') == 1
    assert drawn.count('class="whisker"') == 1
    assert "…" in drawn
    assert bar_chart("t", "d", [], "epsilon") == ""
    axis: Any = Axis(label="x", low=0.0, high=1.0)
    assert line_chart("t", "d", [line()], axis, axis) == ""


def test_a_column_is_as_high_as_its_value_and_the_budget_is_a_line() -> None:
    """Where it is on the axis; names are in the table."""
    axis = Axis(label="epsilon", low=0.0, high=8.0)
    values = [("site-a", 4.0), ("site-b", 2.0)]
    drawn = column_chart("t", "d", values, 6.0, axis)
    heights = [float(h) for h in re.findall(r'class="bar"[^>]*height="([\d.]+)"', drawn)]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert drawn.count("<polyline") == 1
    assert "<td>site-b</td><td>2</td>" in drawn
    assert column_chart("t", "d", values, 9.0, axis).count("<polyline") == 0
    assert column_chart("t", "d", [], None, axis) == ""


@pytest.mark.parametrize(("budget", "marks"), [(8.0, 1), (None, 0)])
def test_the_scale_has_a_bar_for_what_is_known(budget: float | None, marks: int) -> None:
    """The claim always, a measurement and a budget where there is one."""
    assert scale("t", "d", 4.0, 1.0, budget).count('class="bar') == 2
    drawn = scale("t", "d", 4.0, 0.0, budget)
    assert drawn.count('class="bar') == 1
    assert drawn.count('class="limit"') == marks


@pytest.mark.parametrize("value", [1.23456789e-5, 0.266194739, 123.45678901, 3.62011])
def test_upper_bounds_are_never_written_smaller_than_they_are(value: float) -> None:
    """And by less than a hundred-thousandth larger."""
    assert value <= float(number_text(value, upper=True)) <= value * (1 + 1e-5)
    assert number_text(3.6202) == "3.6202"
    assert number_text(0.0, upper=True) == "0"


def test_what_was_measured_at_no_false_alarm_is_not_drawn_as_a_small_one() -> None:
    """A logarithmic axis has no zero."""
    content = report(roc=[[0.0, 0.4], [0.1, 0.0], [0.2, 0.5], [1.0, 1.0]])
    curve = re.search(r'line second" points="([^"]+)"', plots(content))
    assert curve is not None
    assert len(curve.group(1).split()) == 2


def test_each_observer_has_its_course_and_equal_ones_are_one() -> None:
    """Named after whom they hold against; a plan that was not used up is drawn too."""
    content = report()
    assert "</span>every observer</li>" in plots(content)
    first = content["claims"][0]
    first["epsilon_by_round"] = [[number, value / 2] for number, value in first["epsilon_by_round"]]
    first["planned_epsilon"] = content["claims"][1]["planned_epsilon"] = 5.5
    drawn = plots(content)
    assert "</span>the server, which sees each update</li>" in drawn
    assert "whoever sees every global model; whoever holds the final model</li>" in drawn
    assert "of 5.5 that were planned; the budget" in drawn
    first["planned_epsilon"] = first["epsilon"] - 0.5
    assert "were planned, for a round that is repeated is charged again; the" in plots(content)


def test_a_course_towards_a_near_budget_shows_it_and_clients_above_theirs_are_counted() -> None:
    """And each client's own budget, where they differ, is in no line."""
    content = report()
    claim = content["claims"][0]
    content["claims"] = [claim | {"budget_epsilon": claim["epsilon"] + 1.0}]
    listed = content["clients"]["per_client"]
    listed[0]["budget"] = 0.5
    drawn = plots(content)
    assert "</span>budget</li>" in drawn
    assert "1 above its budget" in drawn


def test_bounds_are_drawn_beside_the_claim_they_belong_to() -> None:
    """Others are left to the table."""
    content = report()
    assert "canaries, any mechanism (lower bound)" in plots(content)
    content["audit"] = [CANARIES | {"claim_id": "another"}]
    assert "Promised and measured" not in plots(content)


def test_utility_stands_against_what_it_cost() -> None:
    """With the numbers of both."""
    content = report()
    content["utility"] = {
        "metric": "score",
        "by_round": [[1, 2.0]],
        "by_epsilon": [[1.5, 2.0], [2.5, 3.0]],
    }
    drawn = plots(content)
    assert "score 3 at epsilon 2.5" in drawn
    content["claims"] = [claim | {"epsilon": "inf"} for claim in content["claims"]]
    assert plots(content).count("<figure>") == 1


def test_numbers_can_be_pointed_at_where_that_is_wanted() -> None:
    """A column around each place, all of them side by side, texts escaped."""
    axis = Axis(label="round", low=0.0, high=10.0)
    lines = [line((1.0, 2.25), (4.0, 0.5)), Line(name="<b>", points=[(4.0, 7.0)], style="second")]
    assert "<rect" not in line_chart("t", "d", lines, axis, axis)
    drawn = line_chart("t", "d", lines, axis, axis, hover=True)
    titles = re.findall(r"<rect[^>]*><title>([^<]*)</title>", drawn)
    assert titles == ["round 1\ncurve: 2.25", "round 4\ncurve: 0.5\n&lt;b&gt;: 7"]
    ends = [
        tuple(map(float, p)) for p in re.findall(r'x="([\d.]+)" y="30.0" width="(\d+\.\d)', drawn)
    ]
    assert ends[0][0] + ends[0][1] == pytest.approx(ends[1][0], abs=0.2)
