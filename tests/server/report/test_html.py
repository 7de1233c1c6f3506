"""The page: self-contained, readable by anybody, on paper and in the dark."""

import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from server.report.charts import Axis, Bar, Line, bar_chart, line_chart
from server.report.html import html
from server.report.style import DARK, LIGHT, STYLE
from tests.server.report.outcomes import UNITS
from tests.server.report.reports import hostile, report


class Page(HTMLParser):
    """What a checker of accessibility looks at."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each."""
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def page(unit: str = "record") -> Page:
    """A report's page."""
    return Page(html(report(unit)))


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_is_asked_of_any_other_place(unit: str) -> None:
    """No script, no style sheet, no picture, no font, no address."""
    content = html(report(unit))
    found = Page(content)
    assert not {name for name, _ in found.tags} & {"script", "link", "img", "iframe", "object"}
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"https?:|url\(|@import", content)
    assert len(content) < 300_000


@pytest.mark.parametrize("unit", UNITS)
def test_the_page_has_language_title_landmarks_and_one_heading_of_each_rank(unit: str) -> None:
    """Headings go down one step at a time; the first link leads past them."""
    found = page(unit)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("title")) >= 1
    assert len(found.all("main")) == len(found.all("h1")) == 1
    ranks = [int(name[1]) for name, _ in found.tags if re.fullmatch(r"h[1-6]", name)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))
    assert found.all("a")[0]["href"] == "#main"
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))


@pytest.mark.parametrize("unit", UNITS)
def test_no_name_is_given_twice_and_every_reference_leads_somewhere(unit: str) -> None:
    """Else a screen reader reads the wrong one."""
    found = page(unit)
    names = [attributes["id"] for _, attributes in found.tags if attributes.get("id")]
    assert len(names) == len(set(names))
    for _, attributes in found.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(names)


@pytest.mark.parametrize("unit", UNITS)
def test_every_picture_has_a_title_and_every_table_a_caption(unit: str) -> None:
    """And column heads say what they head; what scrolls can be reached by keyboard."""
    found = page(unit)
    assert all(svg.get("role") == "img" and svg.get("aria-labelledby") for svg in found.all("svg"))
    assert len(found.all("desc")) == len(found.all("svg"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(head.get("scope") in {"col", "row"} for head in found.all("th"))
    for region in [a for _, a in found.tags if a.get("class") == "wide"]:
        assert region["tabindex"] == "0"
        assert region["aria-label"]


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_can_be_read_on_both_backgrounds(colours: dict[str, str]) -> None:
    """At least 4.5 to 1 for text, as WCAG 2 AA asks."""
    for ground in ("paper", "panel"):
        for name in set(colours) - {"paper", "panel", "rule"}:
            assert contrast(colours[name], colours[ground]) >= 4.5, (ground, name)
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert "prefers-color-scheme:dark" in STYLE
    assert "@media print" in STYLE


def test_a_status_is_said_in_words_not_in_colour_alone() -> None:
    """For who sees no colours, and for print."""
    content = html(hostile())
    assert "<strong>critical</strong>" in content
    assert "assumed" in content
    assert "enforced" in content


def test_without_privacy_there_is_no_epsilon_to_show() -> None:
    """And the label says so."""
    content = html(report("none"))
    assert "Not private" in content
    assert 'class="epsilon"' not in content


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


def test_every_number_of_a_chart_is_in_its_table() -> None:
    """For who cannot see it."""
    axis = Axis(label="x", low=0.0, high=10.0)
    drawn = line_chart("t", "d", [line((1.0, 2.25)), line((3.0, 4.125))], axis, axis)
    for value in ("2.25", "4.125"):
        assert f"<td>{value}</td>" in drawn


def test_bars_show_their_limit_and_a_chart_without_numbers_is_none() -> None:
    """An infinite limit has no mark."""
    bars = [
        Bar(name="a" * 40, value=1.0, limit=2.0, note="x"),
        Bar(name="b", value=0.0, limit=float("inf")),
    ]
    drawn = bar_chart("t", "d", bars, "epsilon")
    assert drawn.count('class="limit"') == 1
    assert "…" in drawn
    assert bar_chart("t", "d", [], "epsilon") == ""
    axis: Any = Axis(label="x", low=0.0, high=1.0)
    assert line_chart("t", "d", [line()], axis, axis) == ""
