"""Parts of the page that are no charts: tables, pairs, badges; all text is escaped."""

from collections.abc import Sequence
from html import escape

# What a status is coloured as; its word always stands beside the colour.
_TONES = {
    "enforced": "good", "verified": "good", "passed": "good", "yes": "good", "dp": "good",
    "public": "good", "assumed": "warn", "warning": "warn", "violated": "bad", "critical": "bad",
    "failed": "bad", "no": "bad", "above claim": "warn", "none": "bad",
}  # fmt: skip


class Markup(str):
    """Text that is HTML already: made here, from escaped parts only."""

    __slots__ = ()


Cell = str | Markup


def badge(word: str) -> Markup:
    """A status: its word, and a colour that repeats it."""
    return Markup(f'<strong class="badge {_TONES.get(word, "plain")}">{escape(word)}</strong>')


def budget_bar(percent: float | None, budget: str) -> Markup:
    """How much of a budget is spent; the words say what the bar shows."""
    if percent is None:
        return Markup(escape(budget))
    tone = "bad" if percent > 100 else "warn" if percent > 90 else "first"
    width = min(percent, 100)
    return Markup(
        f'<span class="track" aria-hidden="true"><span class="{tone}" style="width:{width}%">'
        f"</span></span>{percent} % of {escape(budget)}"
    )


def pair(name: str, value: Cell) -> str:
    """One name and its value, for a list of definitions."""
    return f"<div><dt>{escape(name)}</dt><dd>{_shown(value)}</dd></div>"


def pairs(values: dict[str, Cell]) -> str:
    """A list of definitions, without those that have no value."""
    listed = "".join(pair(name, value) for name, value in values.items() if value)
    return f"<dl>{listed}</dl>" if listed else ""


def section(title: str, content: str) -> str:
    """A part of the page with its heading, which is also where the page's index leads to."""
    name = anchor(title)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def anchor(title: str) -> str:
    """The name of a section within the page."""
    return title.lower().replace(" ", "-")


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that becomes a list of cards on a narrow screen.

    Roles are spelt out, for browsers that forget them when a table is no longer shown as one.
    """
    if not rows:
        return "<p>Nothing.</p>"
    head = "".join(f'<th scope="col" role="columnheader">{escape(text)}</th>' for text in headings)
    body = "".join(_row(headings, row) for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="cards" role="table"><caption>{escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _row(headings: Sequence[str], row: Sequence[Cell]) -> str:
    cells = "".join(
        f'<td role="cell" data-label="{escape(heading)}"><span>{_shown(cell)}</span></td>'
        for heading, cell in zip(headings[1:], row[1:], strict=True)
    )
    return f'<tr role="row"><th scope="row" role="rowheader">{_shown(row[0])}</th>{cells}</tr>'


def _shown(cell: Cell) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)
