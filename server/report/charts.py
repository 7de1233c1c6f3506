"""Small charts as inline SVG: lines and bars, for print, for the dark and for screen readers.

Each has a title, a description in words, and a table of its numbers beside it. Colours are those
of the page's style sheet (`currentColor` and classes), so that light, dark and print agree.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT = 640.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 14.0, 46.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: `style` is a class of the style sheet."""

    name: str
    points: Points
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From `low` to `high`, linear or logarithmic."""

    label: str
    low: float
    high: float
    log: bool = False

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
        lowest, highest = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [step * place for place in range(lowest, highest + 1)]


def line_chart(title: str, described: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """A figure with curves and a legend; nothing where there is no point."""
    if not any(line.points for line in lines):
        return ""
    parts = [_frame(x, y)]
    for line in lines:
        if not line.points:
            continue
        places = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in line.points)
        parts.append(f'<polyline class="line {line.style}" points="{places}"/>')
    legend = "".join(
        f'<li><span class="key {line.style}"></span>{escape(line.name)}</li>'
        for line in lines
        if line.points
    )
    table = _table([x.label, *[line.name for line in lines if line.points]], _joined(lines))
    return _figure(title, described, "".join(parts), f'<ul class="legend">{legend}</ul>{table}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A value, and optionally a limit beyond or within which it lies."""

    name: str
    value: float
    limit: float | None = None
    note: str = ""


def bar_chart(title: str, described: str, bars: Sequence[Bar], unit: str) -> str:
    """Horizontal bars with the limit as a mark; nothing where there is no bar."""
    if not bars:
        return ""
    highest = max([bar.value for bar in bars] + [bar.limit or 0.0 for bar in bars]) or 1.0
    axis = Axis(label=unit, low=0.0, high=highest * 1.05)
    row, left = 26.0, 190.0
    height = row * len(bars) + 44.0
    span = _WIDTH - left - 70.0
    parts = []
    for place, bar in enumerate(bars):
        top = 8.0 + row * place
        length = max(1.0, span * axis.share(bar.value))
        parts.append(
            f'<text class="label" x="{left - 8}" y="{top + 13}" text-anchor="end">'
            f"{escape(_cut(bar.name))}</text>"
            f'<rect class="bar" x="{left}" y="{top}" width="{length:.1f}" height="16"/>'
            f'<text class="value" x="{left + length + 6:.1f}" y="{top + 13}">'
            f"{_number(bar.value)}</text>"
        )
        if bar.limit is not None and math.isfinite(bar.limit):
            at = left + span * axis.share(bar.limit)
            parts.append(f'<path class="limit" d="M{at:.1f} {top - 3}v22"/>')
    parts.append(f'<text class="label" x="{left}" y="{height - 12}">{escape(unit)}</text>')
    rows = [[bar.name, _number(bar.value), _limit(bar.limit), bar.note] for bar in bars]
    return _figure(
        title, described, "".join(parts), _table(["", unit, "limit", "note"], rows), height=height
    )


def _frame(x: Axis, y: Axis) -> str:
    parts = []
    for tick in y.ticks():
        at = _y(y, tick)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
            f"{_number(tick)}</text>"
        )
    for tick in x.ticks():
        at = _x(x, tick)
        parts.append(
            f'<path class="grid" d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{_number(tick)}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
        f'<text class="axis" transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2}) '
        f'rotate(-90)" text-anchor="middle">{escape(y.label)}</text>'
    )
    return "".join(parts)


def _figure(title: str, described: str, drawn: str, beside: str, *, height: float = _HEIGHT) -> str:
    name = "".join(character for character in title.lower() if character.isalnum())
    return (
        f'<figure><figcaption id="{name}-caption">{escape(title)}</figcaption>'
        f'<svg role="img" viewBox="0 0 {_WIDTH:g} {height:g}" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}'
        f'</title><desc id="{name}-desc">{escape(described)}</desc>{drawn}</svg>'
        f'<p class="described">{escape(described)}</p>{beside}</figure>'
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text) or "what"}</th>' for text in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        "<details><summary>The numbers</summary><div class=wide tabindex=0 role=region "
        'aria-label="table of numbers"><table><caption class="hidden">Numbers of the chart'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _joined(lines: Sequence[Line]) -> list[list[str]]:
    drawn = [dict(line.points) for line in lines if line.points]
    places = sorted({place for points in drawn for place in points})
    return [
        [_number(place), *[_number(points[place]) if place in points else "" for points in drawn]]
        for place in places
    ]


def _scaled(low: float, high: float) -> Callable[[float], float]:
    return lambda share: low + (high - low) * share


def _x(axis: Axis, value: float) -> float:
    return _scaled(_LEFT, _WIDTH - _RIGHT)(axis.share(value))


def _y(axis: Axis, value: float) -> float:
    return _scaled(_HEIGHT - _BOTTOM, _TOP)(axis.share(value))


def _number(value: float) -> str:
    return f"{value:.6g}"


def _limit(value: float | None) -> str:
    return "" if value is None else _number(value)


def _cut(text: str) -> str:
    return text if len(text) <= 26 else text[:25] + "…"
