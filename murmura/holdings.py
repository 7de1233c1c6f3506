"""`murmura holdings`: which client of a demonstration holds how much of which label."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from murmura.machine import json_line
from murmura.options import Assignments, Machine, SettingsFile
from murmura.running import search_current_folder
from murmura.settings import layered, named_flags
from shared.config import RunConfig
from shared.errors import ConfigurationError, FederationError

_LOGGER = logging.getLogger("murmura.holdings")


def holdings(
    *,
    config: SettingsFile = None,
    assignments: Assignments = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Built-in task, or module:object.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data lie.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="Where the picture goes.")] = Path(
        "holdings.html"
    ),
    machine: Machine = False,
) -> None:
    """Draw [bold]who holds what[/bold] under a partition, before anything is trained.

    [green]murmura holdings -c population.partition=dirichlet -c population.alpha=0.1[/green]
    """
    flags = named_flags({"task": ("--task", task), "data.dir": ("--data-dir", data_dir)})
    chosen = layered(config, assignments or [], flags).config()
    search_current_folder()
    if not draw_holdings(chosen, out):
        raise ConfigurationError(
            f"task {chosen.task!r} has no common pool of labelled examples to draw"
        )
    if machine:
        typer.echo(json_line({"picture": str(out)}))
        return
    Console().print(f"who holds what: {out}", markup=False, highlight=False, soft_wrap=True)


def draw_holdings(config: RunConfig, path: Path) -> bool:
    """Draw the partition of `config` into the HTML file `path`; False if the task has no pool.

    Raises:
        DataError: the task's data are missing.
    """
    # Slow to import, and needed by no other verb.
    from shared.partition import partition, partition_spec  # noqa: PLC0415
    from shared.tasks import load_task, task_settings  # noqa: PLC0415
    from simulations.holdings import plot_holdings  # noqa: PLC0415

    task = load_task(config.task, task_settings(config))
    labels_of = getattr(task, "training_labels", None)
    if labels_of is None:
        return False
    labels, spec = labels_of().numpy(), partition_spec(config.population)
    # Built-in tasks know the natural split's column too.
    parts_of = getattr(task, "parts", None)
    parts = parts_of(spec) if parts_of is not None else partition(labels, spec)
    plot_holdings(labels, parts, path)
    return True


def add_holdings(config: RunConfig, path: Path) -> bool:
    """As `draw_holdings`, beside a finished run: a picture that fails costs a line, not the run."""
    try:
        return draw_holdings(config, path)
    except (FederationError, OSError) as error:
        _LOGGER.warning("no picture of who holds what: %s", error)
        return False
