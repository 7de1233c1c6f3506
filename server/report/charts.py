"""Curves as inline SVG, for print, for the dark and for screen readers.

Each chart has a title, a description in words, and a table of its numbers beside it. Colours are
classes of the page's style sheet, so that light, dark and print agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Points = Sequence[tuple[float, float]]
WIDTH = 480.0
_HEIGHT = 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 30.0, 46.0
_DOTS = 12  # up to so many points are marked


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve.

    Attributes:
        name: What the legend calls it.
        points: Where it goes.
        style: A class of the style sheet.
        upper: Whether its values are upper bounds, which are never rounded down.
    """

    name: str
    points: Points
    style: str
    upper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From `low` to `high`, linear or logarithmic; `whole`: only whole numbers are marked."""

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies, 0 to 1, cut at the ends."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self) -> list[float]:
        """Four to seven round places."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, math.ceil((last - first) / 6))
            return [10.0**power for power in range(first, last + 1, every)]
        span = self.high - self.low
        size = 10.0 ** math.floor(math.log10(span / 4.0))
        step = next(size * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if span / (size * m) <= 6)
        step = math.ceil(step) if self.whole else step
        lowest, highest = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [step * place for place in range(lowest, highest + 1)]


def line_chart(
    title: str,
    described: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    hover: bool = False,
) -> str:
    """A figure with curves and a legend; nothing where there is no point.

    With `hover` whoever points at a place reads its numbers, without any script.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    parts = [_frame(x, y), *[_curve(line, x, y) for line in drawn]]
    if hover:
        parts.append(_places(drawn, x))
    legend = "".join(
        f'<li><span class="key {line.style}"></span>{escape(line.name)}</li>' for line in drawn
    )
    table = numbers_table(title, [x.label, *[line.name for line in drawn]], _joined(drawn))
    return figure(title, described, "".join(parts), f'<ul class="legend">{legend}</ul>{table}')


def column_chart(
    title: str, described: str, values: Sequence[tuple[str, float]], limit: float | None, y: Axis
) -> str:
    """A figure with one column a name, and the limit as a line; nothing where there is none."""
    if not values:
        return ""
    x = Axis(label="clients, most spent first", low=0.0, high=float(len(values)))
    each, floor = (WIDTH - _LEFT - _RIGHT) / len(values), _HEIGHT - _BOTTOM
    parts = [_frame(Axis(label=x.label, low=0.0, high=x.high), y, x_ticks=False)]
    for place, (_, value) in enumerate(values):
        left, top = _x(x, place) + 0.1 * each, _y(y, value)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{0.8 * each:.1f}" '
            f'height="{max(0.5, floor - top):.1f}"/>'
        )
    legend = f'<li><span class="key first"></span>{escape(y.label)} spent</li>'
    if limit is not None and limit <= y.high:
        parts.append(
            _curve(Line(name="", points=[(0, limit), (x.high, limit)], style="warn"), x, y)
        )
        legend += '<li><span class="key warn"></span>budget</li>'
    rows = [[name, number_text(value, upper=True)] for name, value in values]
    table = numbers_table(title, ["client", y.label], rows)
    return figure(title, described, "".join(parts), f'<ul class="legend">{legend}</ul>{table}')


def _curve(line: Line, x: Axis, y: Axis) -> str:
    places = [(_x(x, a), _y(y, b)) for a, b in line.points]
    joined = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    drawn = f'<polyline class="line {line.style}" points="{joined}"/>'
    if line.style not in {"warn", "faint"} and len(places) <= _DOTS:
        drawn += "".join(
            f'<circle class="dot {line.style}" cx="{across:.1f}" cy="{down:.1f}" r="3"/>'
            for across, down in places
        )
    return drawn


def _places(drawn: Sequence[Line], x: Axis) -> str:
    """A column around each place, which a browser shows the numbers of."""
    rows = _joined(drawn)
    at = [_x(x, place) for place in sorted({p for line in drawn for p, _ in line.points})]
    ends = [_LEFT, *[(a + b) / 2 for a, b in pairwise(at)], WIDTH - _RIGHT]
    parts = []
    for (left, right), (place, *values) in zip(pairwise(ends), rows, strict=True):
        told = [f"{line.name}: {v}" for line, v in zip(drawn, values, strict=True) if v]
        text = escape("\n".join([f"{x.label} {place}", *told]))
        parts.append(
            f'<rect class="place" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
            f'height="{_HEIGHT - _BOTTOM - _TOP}"><title>{text}</title></rect>'
        )
    return "".join(parts)


def _frame(x: Axis, y: Axis, *, x_ticks: bool = True) -> str:
    parts = []
    for tick in y.ticks():
        at = _y(y, tick)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {at:.1f}H{WIDTH - _RIGHT}"/>'
            f'<text class="tick" x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">'
            f"{number_text(tick)}</text>"
        )
    for tick in x.ticks() if x_ticks else ():
        at = _x(x, tick)
        parts.append(
            f'<path class="grid" d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">'
            f"{number_text(tick)}</text>"
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        f'<path class="base" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>'
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
        f'<text class="axis" x="2" y="14">{escape(y.label)}</text>'
    )
    return "".join(parts)


def figure(title: str, described: str, drawn: str, beside: str, *, height: float = _HEIGHT) -> str:
    """A picture with its title, its description, and what stands below it."""
    name = "".join(character for character in title.lower() if character.isalnum())
    return (
        f'<figure><figcaption id="{name}-caption">{escape(title)}</figcaption>'
        f'<svg role="img" viewBox="0 0 {WIDTH:g} {height:g}" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}'
        f'</title><desc id="{name}-desc">{escape(described)}</desc>{drawn}</svg>'
        f'{beside}<p class="described">{escape(described)}</p></figure>'
    )


def numbers_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A chart's numbers, folded away."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        '<details><summary>The numbers</summary><div class="wide" tabindex="0" role="region" '
        f'aria-label="Numbers: {escape(title)}"><table><caption class="hidden">'
        f"{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</div></details>"
    )


def number_text(value: float, *, upper: bool = False) -> str:
    """At most four decimals as they are; else six digits, an upper bound rounded up.

    >>> number_text(123.4512), number_text(0.1234561, upper=True)
    ('123.4512', '0.123457')
    """
    if value == round(value, 4) and abs(value) < 1e9:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if not upper or value <= 0.0:
        return f"{value:.6g}"
    unit = 10.0 ** (math.floor(math.log10(value)) - 5)
    return f"{math.ceil(value / unit - 1e-9) * unit:.6g}"


def _joined(drawn: Sequence[Line]) -> list[list[str]]:
    values = [dict(line.points) for line in drawn]
    places = sorted({place for points in values for place in points})
    return [
        [
            number_text(place),
            *[
                number_text(points[place], upper=line.upper) if place in points else ""
                for line, points in zip(drawn, values, strict=True)
            ],
        ]
        for place in places
    ]


def _x(axis: Axis, value: float) -> float:
    return _LEFT + (WIDTH - _RIGHT - _LEFT) * axis.share(value)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * axis.share(value)
