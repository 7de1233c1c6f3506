"""Attributions as one self-contained page: no script, no request; every text is escaped."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from murmura.explain_picture import NAMES, picture
from murmura.opened import bearing
from murmura.wording import epsilon_text
from server.report.charts import number_text
from server.report.style import STYLE
from server.report.tables import pairs, section, table

if TYPE_CHECKING:
    from shared.explained import Explained

_MEANING = {
    "integrated_gradients": "what each part adds to the score on the way from the baseline to the "
    "input; adds up to the difference between the two",
    "saliency": "how fast the score changes with each part, whatever the direction",
    "lime": "a linear model fitted to the scores of randomly blanked copies",
    "kernel_shap": "each part's share of the score: Shapley values from blanked copies",
    "grad_cam": "where the last convolution saw what speaks for the class",
}
_MORE = """
.strip{width:100%;height:auto;display:block;background:#fff;border:1px solid var(--rule);
border-radius:.3rem}
.words{line-height:2.1;overflow-wrap:anywhere}
.words span{padding:.1em .25em;border-radius:.25em;margin-right:.15em}
.for{border-bottom:3px solid var(--first)}.against{border-bottom:3px dashed var(--warn)}
@media screen and (max-width:44rem){.wide .strip{min-width:38rem}}
"""


def page(explained: "Explained", about: Mapping[str, Any], warning: str) -> str:
    """The whole page.

    Args:
        explained: What it shows.
        about: Of the model: task, model, unit, adjacency, epsilon by observer, delta, seeded.
        warning: Why it must not leave this site; "" where it may.
    """
    title = f"What the model looks at: {about['task']}"
    records = "".join(_record(explained, place) for place in range(len(explained.rows)))
    methods = pairs({NAMES[a.method]: _MEANING[a.method] for a in explained.attributions})
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}{_MORE}</style></head>"
        '<body><a class="skip" href="#main">To the records</a>'
        f"<header><h1>{escape(title)}</h1><p>{escape(_promise(about))}</p></header>"
        f'<main id="main">{_label(warning)}{section("Methods", methods)}'
        f"{section('Records', records)}</main>"
        "<footer><p>Blue, or underlined, speaks for the class; orange, or underlined with dashes, "
        "against it. Attributions tell what moved this model's score, not what is true. "
        "Each map and row is scaled by its own largest score.</p></footer></body></html>\n"
    )


def _promise(about: Mapping[str, Any]) -> str:
    epsilon = epsilon_text(about["epsilon"].get("released_model"))
    model = about["model"] or "default model"
    promise = f"{model}; epsilon {epsilon} at delta {about['delta']:g} for {bearing(about)}"
    return f"{promise}; seeded: no guarantee" if about["seeded"] else promise


def _label(warning: str) -> str:
    if not warning:
        return (
            '<section class="label guaranteed"><h2>Public records</h2>'
            "<p>Made from the task's public evaluation data.</p></section>"
        )
    return (
        '<section class="label not_private"><h2>Private: must not leave this site</h2>'
        f"<p>This page is {escape(warning)}.</p></section>"
    )


def _record(explained: "Explained", place: int) -> str:
    from shared.question import Kind  # noqa: PLC0415 - slow, and needed by no help

    heading = f"<h3>{escape(explained.title(place))}</h3>"
    shown = "" if explained.kind is Kind.TEXT else _image(explained, place)
    if explained.kind is Kind.TEXT:
        shown = "".join(
            _words(explained.parts[place], NAMES[a.method], a.scores[place].tolist())
            for a in explained.attributions
        )
    if explained.axes is not None:
        down, across = explained.axes
        shown += (
            f'<p class="described">Upwards: {escape(down)}; to the right: {escape(across)}.</p>'
        )
    numbers = "" if explained.kind is Kind.PICTURE else _numbers(explained, place)
    return f"{heading}{shown}{_gap(explained, place)}{numbers}"


def _image(explained: "Explained", place: int) -> str:
    methods = ", ".join(NAMES[a.method] for a in explained.attributions)
    described = f"Record {explained.rows[place]} and its attributions by {methods}"
    content = b64encode(picture(explained, [place], titled=False)).decode()
    widest = 13 * (1 + len(explained.attributions))  # rem: few maps need no wide page
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(described)}">'
        f'<img class="strip" style="max-width:{widest}rem" alt="{escape(described)}" '
        f'src="data:image/png;base64,{content}"></div>'
    )


def _words(parts: Sequence[str], name: str, scores: Sequence[float]) -> str:
    most = max(1e-12, *(abs(score) for score in scores))
    words = []
    for part, score in zip(parts, scores, strict=True):
        if not part:
            continue
        strength = round(100 * abs(score) / most)
        side, colour = ("for", "first") if score >= 0 else ("against", "warn")
        style = f"background:color-mix(in srgb,var(--{colour}) {strength * 0.4:.0f}%,transparent)"
        marked = f' class="{side}"' if strength >= 10 else ""
        words.append(f'<span{marked} style="{style}" title="{score:.3g}">{escape(part)}</span>')
    return f'<p class="words"><strong>{escape(name)}:</strong> {" ".join(words)}</p>'


def _numbers(explained: "Explained", place: int) -> str:
    headings = ["part", *(NAMES[a.method] for a in explained.attributions)]
    rows = [
        [
            part,
            *(
                number_text(float(f"{float(a.scores[place][at]):.3g}"))
                for a in explained.attributions
            ),
        ]
        for at, part in enumerate(explained.parts[place])
        if part
    ]
    shown = table(f"Scores of record {explained.rows[place]}", headings, rows)
    return f"<details><summary>The numbers</summary>{shown}</details>"


def _gap(explained: "Explained", place: int) -> str:
    found = next((a for a in explained.attributions if a.gap is not None), None)
    if found is None or found.gap is None:
        return ""
    total = float(found.scores[place].sum())
    return (
        f'<p class="described">Integrated gradients add up to {total:.4g}; the score changed by '
        f"{total - float(found.gap[place]):.4g}.</p>"
    )
