"""`murmura run`: a run over the sites that have joined this machine's server."""

from pathlib import Path
from typing import Annotated

import typer

from murmura.options import (
    HOW,
    SHOW,
    WHAT,
    Debug,
    Model,
    Quiet,
    Rounds,
    RunAssignments,
    RunMachine,
    RunSettingsFile,
)
from murmura.settings import layered, named_flags, parse_assignment
from shared.errors import ConfigurationError

# Paragraphs in one line each: typer keeps the line ends of all but the first.
HELP = (
    "Run a federation over the sites that have joined the server on [bold]this machine[/bold].\n\n"
    "Settings are checked as by `murmura simulate`; population.size is the number of sites that "
    "have joined, unless it is set.\n\n"
    "[bold]Examples[/bold]\n"
    "  [green]murmura run --config run.toml[/green]\n"
    "  [green]murmura run --task digits --rounds 5 -c privacy.noise=distributed[/green]\n"
    "  [green]murmura run --app my_task --task my_task:MyTask --detach[/green]\n"
    "  [green]murmura run --resume 20261123-180000-digits-1f2e[/green]\n\n"
    "[bold]Exit status[/bold]\n"
    "  0 done, 2 wrong settings, or too few sites accept them, 3 refused for privacy's sake,\n"
    "  4 the federation failed, 5 data or files, 130 Ctrl-C, 143 SIGTERM."
)


def run(  # noqa: PLR0913 - one parameter for each option
    *,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Built-in task, or [cyan]module:object[/cyan] of what --app adds.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    model: Model = None,
    rounds: Rounds = None,
    sites: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How many sites there are. [dim]default: all that have joined[/dim]",
            rich_help_panel=WHAT,
        ),
    ] = None,
    app: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with a task of your own; each site approves the bundle once.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Go on with a run that was stopped.", rich_help_panel=WHAT
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Make the run repeatable, where each site allows it: not for real data.",
            rich_help_panel=HOW,
        ),
    ] = None,
    config: RunSettingsFile = None,
    assignments: RunAssignments = None,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How long to wait for sites that are not online.",
            rich_help_panel=HOW,
        ),
    ] = 60.0,
    home: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The server's home. [dim]default: $MURMURA_HOME, else ~/.murmura/server[/dim]",
            rich_help_panel=HOW,
        ),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Submit it and return; `murmura runs` shows and stops it.",
            rich_help_panel=SHOW,
        ),
    ] = False,
    machine: RunMachine = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a federation over the sites; see `HELP`."""
    flags = named_flags(
        {
            "task": ("--task", task),
            "model": ("--model", model),
            "rounds": ("--rounds", rounds),
            "population.size": ("--sites", sites),
            "seed": ("--seed", None if seed is None else parse_assignment(f"seed={seed}")[1]),
        }
    )
    from murmura.chatter import quieten_libraries  # noqa: PLC0415 - slow, and needed by no help

    quieten_libraries(debug=debug)  # before they are imported
    from murmura.playing import How, play, resumed  # noqa: PLC0415 - likewise
    from murmura.running import Output  # noqa: PLC0415 - likewise
    from murmura.submitting import Service, check, chosen_settings  # noqa: PLC0415 - likewise
    from server.home import ServerHome, default_home  # noqa: PLC0415 - likewise

    place = ServerHome((home or default_home()).expanduser().absolute())
    how = How(
        app=app,
        wait_s=wait,
        detach=detach,
        output=Output(machine=machine, quiet=quiet, debug=debug),
    )
    if resume is not None:
        if flags or assignments or config is not None:
            raise ConfigurationError("--resume goes on with the settings the run was started with")
        resumed(place, resume, how)
        return
    service = Service(place)
    settings = chosen_settings(
        layered(config, assignments or [], flags), place, len(service.sites()), quiet=quiet
    )
    check(settings)
    play(place, service, settings, how)
