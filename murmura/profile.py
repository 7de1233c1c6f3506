"""`murmura simulate --profile`: where the time of a run went, as a table, a page and a trace."""

import json
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from rich.console import Console
from rich.table import Table

from shared.spans import NAMES, Event, Recorder

TRACE, PAGE, FIGURES = "trace.json", "profile.html", "profile.json"
_DRAWN = 3_000  # spans of the round that the page shows
_MILLION = 1e6


def write_profile(folder: Path, recorder: Recorder, seconds: float) -> None:
    """Write the three files into a run folder.

    Args:
        folder: The run's.
        recorder: Of the whole run.
        seconds: By the clock.
    """
    rows = figures(recorder, seconds)
    (folder / FIGURES).write_text(json.dumps({"seconds": seconds, "spent": rows}, indent=1) + "\n")
    (folder / TRACE).write_text(json.dumps(trace(recorder.events)))
    typical = typical_round(recorder.events)
    drawn(rows, typical).write_html(folder / PAGE, include_plotlyjs=True)


def figures(recorder: Recorder, seconds: float) -> list[dict[str, str | float | int]]:
    """A row for each name, the most expensive first; shares are of the clock's time."""
    rounds = max(1, recorder.calls.get("round", 1))
    found: list[dict[str, str | float | int]] = [
        {
            "name": name,
            "what": NAMES[name],
            "seconds": round(spent, 6),
            "per_round": round(spent / rounds, 6),
            "share": round(spent / seconds, 4),
            "spans": recorder.calls[name],
        }
        for name, spent in recorder.seconds.items()
    ]
    return sorted(found, key=lambda row: -float(row["seconds"]))


def trace(events: Sequence[Event]) -> dict[str, object]:
    """The spans in the form of Chrome's tracing, which Perfetto and chrome://tracing open."""
    return {
        "displayTimeUnit": "ms",
        "traceEvents": [
            {
                "name": event.name, "cat": "murmura", "ph": "X", "pid": 1, "tid": event.thread,
                "ts": event.begin * _MILLION, "dur": event.seconds * _MILLION,
            }
            for event in events
        ],
    }  # fmt: skip


def typical_round(events: Sequence[Event]) -> list[Event]:
    """What lies inside the round of median length; empty where there is none."""
    rounds = sorted((e for e in events if e.name == "round"), key=lambda event: event.seconds)
    if not rounds:
        return []
    chosen = rounds[len(rounds) // 2]
    end = chosen.begin + chosen.seconds
    inside = [e for e in events if chosen.begin <= e.begin <= end and e is not chosen]
    longest = sorted(inside, key=lambda event: -event.seconds)[:_DRAWN]
    return [chosen, *sorted(longest, key=lambda event: event.begin)]


def drawn(rows: Sequence[dict[str, str | float | int]], spans: Sequence[Event]) -> go.Figure:
    """One row for each thread of the typical round, bars for its spans; totals in the names."""
    figure = go.Figure()
    start = spans[0].begin if spans else 0.0
    for row in rows:
        name = str(row["name"])
        mine = [event for event in spans if event.name == name]
        # Later bars lie over earlier ones: a round under what is in it.
        figure.add_bar(
            base=[1e3 * (event.begin - start) for event in mine],
            x=[1e3 * event.seconds for event in mine],
            y=[f"thread {event.thread}" for event in mine],
            orientation="h",
            name=f"{name}: {float(row['seconds']):.2f} s, {100 * float(row['share']):.0f} %",
            hovertext=str(row["what"]),
            opacity=0.25 if name == "round" else 0.9,
        )
    figure.update_layout(
        barmode="overlay", template="plotly_white", xaxis_title="milliseconds",
        title="The round of median length, and what the whole run spent",
    )  # fmt: skip
    return figure


def print_profile(console: Console, folder: Path) -> None:
    """Print the table of a run folder."""
    content = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    table = Table(title=f"where {content['seconds']:.1f} s went", title_justify="left")
    for heading in ("", "seconds", "a round", "share", "spans", "what"):
        table.add_column(heading, justify="left" if heading in ("", "what") else "right")
    for row in content["spent"]:
        table.add_row(
            row["name"], f"{row['seconds']:.2f}", f"{1e3 * row['per_round']:.1f} ms",
            f"{100 * row['share']:.0f} %", str(row["spans"]), row["what"],
        )  # fmt: skip
    console.print(table)
    console.print(f"threads add up; trace: {folder / TRACE}, page: {folder / PAGE}")
