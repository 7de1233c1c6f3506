"""`murmura prepare`: what a site's pipeline makes of its table, for its operator to look at."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Printed

from shared.durable import create_durably
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.table import Table


def prepare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds table and pipeline.toml.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the table as it is after all steps."),
    ] = None,
    make_key: Annotated[
        bool, typer.Option("--make-key", help="First make the key under which cells are hashed.")
    ] = False,
) -> None:
    """Show what a table's [bold]pipeline.toml[/bold] takes out, column by column.

    The numbers are of private data and without noise: they are for you, and nobody else.

    [green]murmura prepare /data/people[/green]
    """
    # With numpy: what only asks for help shall not wait for it.
    from shared.preprocessing.pipeline import Pipeline  # noqa: PLC0415

    key = SiteKey(folder)
    if make_key:
        key.make()
    pipeline = Pipeline.read(folder)
    table = pipeline.private(folder)
    cleaned, counts = pipeline.cleaned(table, key)
    encoding = pipeline.encoded(cleaned)
    printed = Printed("step", "column", "cells")
    for count in (*counts, *encoding.counts):
        printed.add_row(count.step, count.column, str(count.cells))
    console = Console()
    console.print(printed)
    console.print(f"{len(encoding.rows)} of {len(table)} rows become examples")
    if out is not None:
        create_durably(out, _csv(cleaned).encode())
        console.print(f"the table after all steps: {out}", markup=False, soft_wrap=True)


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*table.columns.values(), strict=True))
    return text.getvalue()
