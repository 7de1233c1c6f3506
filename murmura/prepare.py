"""`murmura prepare`: what a site's pipeline makes of its table, for its operator to look at."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column
from rich.table import Table as Printed
from rich.text import Text

from murmura.machine import json_line
from murmura.options import Machine
from shared.counting import counted
from shared.durable import create_durably
from shared.errors import StateError
from shared.preprocessing import KEY_FILE
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
    machine: Machine = False,
) -> None:
    """Show what a table's [bold]pipeline.toml[/bold] takes out, column by column.

    The numbers are of private data and without noise: they are for you, and nobody else.

    [green]murmura prepare /data/people[/green]
    """
    # With numpy: what only asks for help shall not wait for it.
    from shared.preprocessing.pipeline import Pipeline  # noqa: PLC0415

    key = SiteKey(folder)
    pipeline = Pipeline.read(folder)
    if make_key:
        key.make()
    table = pipeline.private(folder)
    cleaned, counts = pipeline.cleaned(table, key)
    encoding = pipeline.encoded(cleaned)
    if out is not None:
        _write_new(out, _csv(cleaned).encode())
    found = [(count.step, count.column, count.cells) for count in (*counts, *encoding.counts)]
    if machine:
        told = [{"step": step, "column": column, "cells": cells} for step, column, cells in found]
        content = {"counts": told, "rows": len(table), "examples": len(encoding.rows)}
        typer.echo(json_line(content | {"table": None if out is None else str(out)}))
        return
    console = Console()
    printed = Printed("step", "column", Column("cells", justify="right"))
    for step, column, cells in found:
        printed.add_row(Text(step), Text(column), str(cells))
    console.print(printed)
    console.print(f"{len(encoding.rows)} of {counted(len(table), 'row')} become examples")
    if make_key:
        where = folder / KEY_FILE
        console.print(f"a new key, for nobody else: {where}", markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"the table after all steps: {out}", markup=False, soft_wrap=True)


def _write_new(path: Path, content: bytes) -> None:
    try:
        create_durably(path, content)
    except FileExistsError as error:
        raise StateError(f"expected no file at {path} yet, got one") from error
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*table.columns.values(), strict=True))
    return text.getvalue()
