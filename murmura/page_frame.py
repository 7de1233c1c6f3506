"""Pages with charts: one file, no request to anywhere, and nothing in them runs but our script.

Style and charts are those of the HTML report (server/report). A content security policy names the
page's own style, and its own script where there is one, by their hashes: a text that slipped
through the escaping could not run.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape

from server.report.charts import Axis, Line, line_chart
from server.report.style import STYLE

MORE_LIGHT = {"fourth": "#7a5c00", "fifth": "#9c1f6e", "sixth": "#3d4a57"}
MORE_DARK = {"fourth": "#e0c06a", "fifth": "#f59bd0", "sixth": "#c5ced8"}
_COLOURS = ("first", "second", "third", *MORE_LIGHT)
# Twelve lines can be told apart: six colours, each whole or dashed.
STYLES = (*_COLOURS, *(f"{colour} dashed" for colour in _COLOURS))
_DRAWN = 400  # points of a curve, at most: more cannot be seen


def _rules(colours: dict[str, str]) -> str:
    return "".join(
        f".line.{name}{{stroke:{value}}}.dot.{name}{{fill:{value}}}.key.{name}{{color:{value}}}"
        for name, value in colours.items()
    )


PAGE_STYLE = (
    STYLE
    + _rules(MORE_LIGHT)
    + f"@media screen and (prefers-color-scheme:dark){{{_rules(MORE_DARK)}}}"
    + """
.line.dashed{stroke-dasharray:9 5}.key.dashed{border-top-style:dashed}
.place{fill:transparent}.place:hover{fill:var(--quiet);fill-opacity:.16}
header h1{overflow-wrap:anywhere}
.plots{margin-top:1.6rem}
.facts dd{font-size:1.15rem}.said{min-height:1.5rem;color:var(--warn);margin:.4rem 0 1rem}
.notes{padding-left:1.2rem}.notes li{margin:.3rem 0}
"""
)


def policy(*, script: str = "") -> str:
    """The content security policy of a page; of one with a script, that may ask where it is from.

    Args:
        script: Its text; "" allows none.
    """
    parts = ["default-src 'none'", f"style-src 'sha256-{_digest(PAGE_STYLE)}'", "img-src data:"]
    if script:
        parts += [f"script-src 'sha256-{_digest(script)}'", "connect-src 'self'"]
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def page(title: str, header: str, main: str, footer: str, *, script: str = "") -> str:
    """A whole page.

    Args:
        title: Text; all else is markup, made of escaped parts only.
        header: Below the title.
        main: The contents.
        footer: At the end.
        script: Runs at the end; the only one that may.
    """
    running = f"<script>{script}</script>" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script=script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}</style></head>"
        f'<body><a class="skip" href="#main">To the contents</a><header>{header}</header>'
        f'<main id="main">{main}</main><footer>{footer}</footer>{running}</body></html>\n'
    )


def rounds_axis(last: float) -> Axis:
    """Rounds, from the start."""
    return Axis(label="round", low=0.0, high=max(last, 1.0), whole=True)


def value_axis(label: str, values: Sequence[float], *, share: bool = False) -> Axis:
    """Room for all `values`, zero among them.

    Args:
        label: What they are.
        values: Finite.
        share: Where all lie within 0 and 1, the whole scale is shown: little must not look like
            much.
    """
    low, high = min([0.0, *values]), max([0.0, *values])
    if share and low >= 0.0 and high <= 1.0:
        return Axis(label=label, low=0.0, high=1.0)
    room = 0.05 * (high - low)
    if not room or not math.isfinite(room):
        return Axis(label=label, low=min(low, -1.0) if low < 0 else 0.0, high=max(high, 1.0))
    return Axis(label=label, low=low - room if low < 0 else 0.0, high=high + room)


def chart(title: str, described: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """A chart whose numbers can be pointed at; of long curves every k-th point, and the last."""
    longest = max((len(line.points) for line in lines), default=0)
    step = math.ceil(longest / _DRAWN) or 1
    thinned = [
        Line(name=e.name, points=_every(e.points, step), style=e.style, upper=e.upper)
        for e in lines
    ]
    if step > 1:
        described += f" One round in {step} is drawn, and the last."
    return line_chart(title, described, thinned, x, y, hover=True)


def _every(points: Sequence[tuple[float, float]], step: int) -> list[tuple[float, float]]:
    if len(points) <= 2:
        return list(points)
    return [*points[:-1:step], points[-1]]


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
