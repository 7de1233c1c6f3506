"""`murmura compare`: runs side by side, in the terminal and as a page."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from murmura.machine import json_line
from murmura.options import Machine

if TYPE_CHECKING:
    from murmura.comparison import Comparison

_PAGE = "compare.html"


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_FOLDER...", help="Two or more.")],
    *,
    metric: Annotated[
        str,
        typer.Option(metavar="NAME", help="Of utility. [dim]default: accuracy, if measured[/dim]"),
    ] = "",
    against: Annotated[
        str,
        typer.Option(
            metavar="OBSERVER",
            help="Whose epsilon. [dim]default: of those that all runs promise something to, "
            "whoever learns most[/dim]",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help=f"Where the page goes. [dim]default: {_PAGE} beside the first run[/dim]",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    machine: Machine = False,
) -> None:
    """Put runs [bold]side by side[/bold]: utility against epsilon, curves by round, a table.

    Epsilons share an axis only where unit, neighbouring relation, observer and delta are the same.

    [green]murmura compare runs/A runs/B[/green]
    """
    from murmura import comparison as sides  # noqa: PLC0415 - slow, and needed by no help
    from murmura.compare_page import compare_page  # noqa: PLC0415 - likewise
    from murmura.own_file import write_own  # noqa: PLC0415 - likewise

    found = sides.compare(runs, metric=metric, against=against)
    page = out or runs[0].resolve().parent / _PAGE
    write_own(page, compare_page(found))
    if machine:
        typer.echo(json_line({"page": str(page), **_content(found)}))
    else:
        _print(found, page)
    if open_it:
        webbrowser.open(page.resolve().as_uri())


def _content(found: "Comparison") -> dict[str, Any]:
    return {
        "metric": found.metric,
        "axes": [
            {
                "unit": axis.basis.unit,
                "adjacency": axis.basis.adjacency,
                "observer": axis.basis.observer,
                "delta": axis.basis.delta,
                "epsilon": {run.name: run.final(axis.basis) for run in axis.runs},
            }
            for axis in found.axes
        ],
        "notes": list(found.notes),
        "runs": [run.course.to_json() | {"run": run.name} for run in found.runs],
    }


def _print(found: "Comparison", page: Path) -> None:
    from murmura.compare_page import table_of, traffic_of  # noqa: PLC0415 - slow, needed by no help

    console = Console(highlight=False)
    shown = [(*table_of(found), 2), (*traffic_of(found), 1)]
    tables = [_drawn(headings, rows, left=left) for headings, rows, left in shown if rows]
    if any(_width(console, table) > console.width for table in tables):
        # A name that is folded over many lines can be neither read nor copied.
        for place, run in enumerate(found.runs, start=1):
            console.print(Text(f" {place:2}  {run.name}"), soft_wrap=True)
        tables = [
            _drawn(headings, _numbered(rows), left=left) for headings, rows, left in shown if rows
        ]
    for table in tables:
        console.print(table)
    for note in found.notes:
        console.print(Text(note))
    console.print(Text(f"page: {page}", "dim"), soft_wrap=True)


def _numbered(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each row's number in place of its run's name."""
    return [[str(place), *row[1:]] for place, row in enumerate(rows, start=1)]


def _width(console: Console, table: Table) -> int:
    """Columns that `table` takes where it may have as many as it likes."""
    return console.measure(table, options=console.options.update(width=10_000)).maximum


def _drawn(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Table:
    """The first `left` columns are of words."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for place, heading in enumerate(headings):
        justify: Any = "right" if place >= left else "left"
        table.add_column(heading, overflow="fold", justify=justify, no_wrap=place == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
