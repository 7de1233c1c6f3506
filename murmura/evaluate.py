"""`murmura evaluate`: how good a saved model is, on public data or on a site's own."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.opened import (
    OwnData,
    Run,
    TaskName,
    about,
    headline,
    opened,
    records,
    warn,
    warning,
)
from murmura.options import Machine
from murmura.wording import loss_text, score_text


def evaluate(
    run: Run,
    *,
    task: TaskName = None,
    data: OwnData = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N, mps.")
    ] = "auto",
    machine: Machine = False,
) -> None:
    """Measure a saved model: loss and the task's metrics.

    On the task's public evaluation data, as the run did; with [bold]--data[/bold] on the site's
    own records, all of them, and then the numbers are private and must not leave the site.

    [green]murmura evaluate runs/ID[/green]
    """
    from shared.device import choose_device  # noqa: PLC0415 - slow, and needed by no help
    from shared.measuring import measure  # noqa: PLC0415 - likewise

    place = choose_device(device)
    saved = opened(run, task, data)
    examples = records(saved, data)
    found = measure(saved.task, saved.network.to(place), examples.to(place))
    # Some tasks have scores that are no means; they are of public data.
    scores = getattr(saved.task, "scores", None) if data is None else None
    metrics = found.metrics | dict(scores(saved.network) if scores else {})
    warn(data)
    if machine:
        content = about(saved) | {
            "examples": len(examples),
            "private": data is not None,
            "warning": warning(data),
            "loss": found.loss,
            "metrics": metrics,
        }
        typer.echo(json_line(content))
        return
    console = Console(highlight=False)
    headline(console, saved)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    of = "the public evaluation data" if data is None else f"own records in {data}"
    table.add_row("examples", f"{len(examples):,} of {of}")
    table.add_row("loss", loss_text(found.loss))
    for name, value in metrics.items():
        table.add_row(name, score_text(value) if name == "accuracy" else f"{value:.4g}")
    console.print(table)
