"""Help that breaks where the terminal does, and says what each argument is."""

import inspect
import re

import click
from typer.models import ArgumentInfo

# Within a paragraph, but for lines that stand alone: what is indented, and examples.
_BREAK = re.compile(r"(?<!\n)\n(?!\n| |\[green\]murmura)")


def readable(command: click.Command) -> click.Command:
    """`command`, whose help and that of all below it can be read in any width."""
    if command.help:
        command.help = _BREAK.sub(" ", command.help)
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and not parameter.help:
            # Typer sets it before click 8.5 does, which then forgets it.
            parameter.help = _meaning(command, str(parameter.name))
    for below in getattr(command, "commands", {}).values():
        readable(below)
    return command


def _meaning(command: click.Command, name: str) -> str | None:
    """What the function behind `command` says of its argument `name`."""
    if command.callback is None:
        return None
    found = inspect.signature(command.callback).parameters.get(name)
    said = getattr(found and found.annotation, "__metadata__", ())
    return next((info.help for info in said if isinstance(info, ArgumentInfo)), None)
