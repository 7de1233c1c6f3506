"""Horizontal bars, and the scale of the verdict, as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from server.report.charts import WIDTH, Axis, figure, numbers_table

_ROW = 40.0
_EDGE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A value in a chart of bars.

    Attributes:
        name: What it is the value of.
        value: How long the bar is.
        text: How the value is written: whoever makes the bar knows which way to round.
        limit: Beyond or within which it lies; drawn as a mark.
        interval: Drawn as a whisker.
        note: What else its row in the table of numbers says.
        style: A class of the style sheet.
    """

    name: str
    value: float
    text: str
    limit: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""
    style: str = "first"


def bar_chart(title: str, described: str, bars: Sequence[Bar], unit: str) -> str:
    """Bars below their names, limits as marks; nothing where there is no bar."""
    if not bars:
        return ""
    axis = Axis(label=unit, low=0.0, high=_highest(bars) * 1.03)
    drawn = "".join(_bar(bar, _ROW * place, axis) for place, bar in enumerate(bars))
    rows = [[b.name, b.text, _text(b.limit), _between(b.interval), b.note] for b in bars]
    headings = ["what", unit, "limit", "interval", "note"]
    used = [k for k in range(len(headings)) if k < 2 or any(row[k] for row in rows)]
    table = numbers_table(
        title, [headings[k] for k in used], [[row[k] for k in used] for row in rows]
    )
    return figure(title, described, drawn, table, height=_ROW * len(bars) + 6.0)


def _highest(bars: Sequence[Bar]) -> float:
    ends = [bar.value for bar in bars]
    ends += [bar.limit for bar in bars if bar.limit is not None and math.isfinite(bar.limit)]
    # A whisker may end far beyond what matters: it is cut at twice the longest bar.
    whiskers = [bar.interval[1] for bar in bars if bar.interval]
    return max([*ends, min(max(whiskers, default=0.0), 2.0 * max(ends))]) or 1.0


def _bar(bar: Bar, top: float, axis: Axis) -> str:
    span, middle = WIDTH - 2 * _EDGE, top + 27.0
    length = max(1.0, span * axis.share(bar.value))
    parts = [
        f'<text class="label" x="{_EDGE}" y="{top + 15}">{escape(_cut(bar.name))}</text>'
        f'<text class="value" x="{WIDTH - _EDGE}" y="{top + 15}" text-anchor="end">'
        f"{escape(bar.text)}</text>"
        f'<rect class="ground" x="{_EDGE}" y="{top + 21}" width="{span}" height="12"/>'
        f'<rect class="bar {bar.style}" x="{_EDGE}" y="{top + 21}" width="{length:.1f}" '
        'height="12"/>'
    ]
    if bar.interval is not None:
        low, high = (_EDGE + span * axis.share(end) for end in bar.interval)
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle - 6}v12M{low:.1f} {middle}H{high:.1f}'
            f'M{high:.1f} {middle - 6}v12"/>'
        )
    if bar.limit is not None and math.isfinite(bar.limit):
        at = _EDGE + span * axis.share(bar.limit)
        parts.append(f'<path class="limit" d="M{at:.1f} {top + 18}v18"/>')
    return "".join(parts)


def scale(title: str, described: str, claim: float, measured: float, budget: float | None) -> str:
    """The claim, what was measured of it, and the budget on one line from 0."""
    high = 1.04 * max(claim, measured, budget or 0.0)
    axis, width = Axis(label="epsilon", low=0.0, high=high), 640.0
    span = width - 2 * _EDGE
    drawn = (
        f'<rect class="ground" x="{_EDGE}" y="5" width="{span}" height="18"/>'
        f'<rect class="bar" x="{_EDGE}" y="5" width="{span * axis.share(claim):.1f}" height="18"/>'
    )
    if measured > 0.0:
        length = span * axis.share(measured)
        drawn += f'<rect class="bar second" x="{_EDGE}" y="5" width="{length:.1f}" height="18"/>'
    if budget is not None:
        drawn += f'<path class="limit" d="M{_EDGE + span * axis.share(budget):.1f} 1v26"/>'
    return (
        f'<svg class="scale" role="img" viewBox="0 0 {width:g} 28" preserveAspectRatio="none" '
        f'aria-labelledby="scale-title scale-desc"><title id="scale-title">{escape(title)}</title>'
        f'<desc id="scale-desc">{escape(described)}</desc>{drawn}</svg>'
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= 44 else text[:43] + "…"
