"""Options that several verbs take: one name, one letter and one line of help for each."""

from pathlib import Path
from typing import Annotated

import typer

WHAT, HOW, WHERE, SHOW = "What to run", "Settings", "Where", "Output"

Machine = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SettingsFile = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with settings.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("-c", "--set", metavar="KEY=VALUE", help="Set one key; repeatable."),
]

# Of the verbs that run a federation, in the panels of their help.
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="One of the task's models.", rich_help_panel=WHAT),
]
Rounds = Annotated[
    int | None, typer.Option(metavar="N", help="Number of rounds.", rich_help_panel=WHAT)
]
RunSettingsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML file with settings.", rich_help_panel=HOW),
]
RunAssignments = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--set",
        metavar="KEY=VALUE",
        help="Set one key; repeatable. [dim]e.g. -c privacy.unit=client[/dim]",
        rich_help_panel=HOW,
    ),
]
RunMachine = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object as the last line of stdout; progress goes to stderr.",
        rich_help_panel=SHOW,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=SHOW)]
Debug = Annotated[
    bool, typer.Option("--debug", help="Tracebacks and libraries' logs.", rich_help_panel=SHOW)
]
