"""`murmura simulate`: a whole federation in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from murmura.options import (
    HOW,
    SHOW,
    WHAT,
    WHERE,
    Debug,
    Model,
    Quiet,
    Rounds,
    RunAssignments,
    RunMachine,
    RunSettingsFile,
)
from murmura.running import Output, resume_command, run, run_folder
from murmura.settings import Settings, layered, named_flags, parse_assignment, settings_of_run
from server.run_folder import new_run_id
from shared.config import Scalar
from shared.errors import ConfigurationError

# Paragraphs in one line each: typer keeps the line ends of all but the first.
HELP = (
    "Run a [bold]whole federation[/bold] in this process and say what it kept private.\n\n"
    "The server and the clients are those that are deployed, only the network is left out. "
    "Nothing starts if the plan would spend more than [cyan]privacy.epsilon_budget[/cyan].\n\n"
    "[bold]Examples[/bold]\n"
    "  [green]murmura simulate --rounds 20[/green]\n"
    "  [green]murmura simulate --task digits -c population.examples_per_client=0[/green]\n"
    "  [green]murmura simulate --config run.toml -c training.steps=2 --seed 7[/green]\n"
    "  [green]murmura simulate --task my_task:MyTask -c privacy.unit=client --json[/green]\n"
    "  [green]murmura simulate --resume runs/20261123-180000-digits-1f2e[/green]\n\n"
    "[bold]Which value counts[/bold]\n"
    "  the last that sets a key: defaults, --config, -c, the named options.\n\n"
    "[bold]Exit status[/bold]\n"
    "  0 done, 2 wrong settings, 3 refused for privacy's sake,\n"
    "  4 the federation failed, 5 data or files, 130 Ctrl-C, 143 SIGTERM."
)


def simulate(  # noqa: PLR0913 - one parameter for each option
    *,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Built-in task, or [cyan]module:object[/cyan] of your own; the current folder "
            "is searched for the module.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    model: Model = None,
    rounds: Rounds = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Make the run repeatable. For simulation only: a seeded run guarantees nothing "
            "for real data.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, cpu, cuda, cuda:N, mps; several: all, or a list.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, measured, messages, threads, stacked, ray: how clients are trained.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    config: RunSettingsFile = None,
    assignments: RunAssignments = None,
    list_keys: Annotated[
        bool,
        typer.Option(
            "--list-keys",
            help="Print every key, its default and its meaning; run nothing.",
            rich_help_panel=HOW,
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the data lie.", rich_help_panel=WHERE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where run folders are made. [dim]default: runs[/dim]",
            rich_help_panel=WHERE,
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the run folder. [dim]default: date, time and task[/dim]",
            rich_help_panel=WHERE,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_FOLDER",
            help="Go on with a run that was stopped, with the settings it was started with.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    machine: RunMachine = False,
    quiet: Quiet = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Say where the time went: a table, a page and a trace in the run folder.",
            rich_help_panel=SHOW,
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a whole federation in this process; see `HELP`."""
    if list_keys:
        from murmura.keys import print_keys  # noqa: PLC0415 - only where it is asked for

        print_keys(Console())
        return
    flags = named_flags(
        {
            "task": ("--task", task),
            "model": ("--model", model),
            "rounds": ("--rounds", rounds),
            "seed": ("--seed", None if seed is None else parse_assignment(f"seed={seed}")[1]),
            "runtime.device": ("--device", device),
            "runtime.engine": ("--engine", engine),
            "data.dir": ("--data-dir", data_dir),
            "output.dir": ("--out", out),
            "output.run_id": ("--run-id", run_id),
        }
    )
    settings = choose_settings(config, assignments or [], flags, resume)
    if resume is None:
        settings = fitted(settings, quiet=quiet)
    run(settings, Output(machine=machine, quiet=quiet, debug=debug, profile=profile))


def choose_settings(
    config: Path | None,
    assignments: Sequence[str],
    flags: Mapping[str, tuple[str, Scalar]],
    resume: Path | None,
) -> Settings:
    """The run's settings, its run id made up where none was given.

    Raises:
        ConfigurationError: other settings beside `resume`, or a run folder that exists already.
    """
    if resume is not None:
        others = ["--config"] * (config is not None) + ["-c"] * bool(assignments)
        others += [flag for flag, _ in flags.values()]
        if others:
            raise ConfigurationError(
                "--resume goes on with the settings the run was started with; leave out "
                + ", ".join(others)
            )
        return settings_of_run(resume)
    settings = layered(config, assignments, flags)
    if settings["output.resume"]:
        raise ConfigurationError("output.resume is set by --resume RUN_FOLDER only")
    if not settings["output.run_id"]:
        made = {"output.run_id": new_run_id(str(settings["task"]))}
        settings = settings.with_layer(made, "made by murmura")
    folder = run_folder(settings.config())
    if folder.exists():
        raise ConfigurationError(
            f"the run folder {folder} exists already; choose another --run-id, or go on with it: "
            f"{resume_command(folder)}"
        )
    return settings


def fitted(settings: Settings, *, quiet: bool) -> Settings:
    """`settings` with the noise that their budget asks for, where nobody chose it; says so."""
    from murmura.fitting import NOISE, with_fitted_noise  # noqa: PLC0415 - slow; for runs alone

    found = with_fitted_noise(settings)
    if found is not settings and not quiet:
        budget = found["privacy.epsilon_budget"]
        typer.echo(f"{NOISE} = {found[NOISE]}, found to keep epsilon within {budget}", err=True)
    return found
