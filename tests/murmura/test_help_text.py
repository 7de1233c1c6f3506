"""Help that people can read."""

from collections.abc import Iterator

import click
import pytest
import typer

from murmura.cli import app, main
from murmura.help_text import readable


def every(command: click.Command, name: str = "murmura") -> Iterator[tuple[str, click.Command]]:
    """All commands below `command`, by what is typed."""
    yield name, command
    for below, found in getattr(command, "commands", {}).items():
        yield from every(found, f"{name} {below}")


def test_every_argument_of_every_command_is_explained() -> None:
    """Whatever Typer and click make of what is declared."""
    found = dict(every(readable(typer.main.get_command(app))))
    arguments = {
        f"{name} {parameter.name}": getattr(parameter, "help", None)
        for name, command in found.items()
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    }
    assert len(arguments) > 15
    assert [name for name, said in arguments.items() if not said] == []


def test_paragraphs_break_where_the_terminal_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where a source file does; examples keep lines of their own."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["client", "join", "-h"]) == 0
    shown = capsys.readouterr().out
    assert "by the line's fingerprint before anything is sent to it. What may" in shown
    assert "The server's invitation." in shown
    assert main(["watch", "-h"]) == 0
    shown = capsys.readouterr().out
    assert "needs nothing else;" in shown
    assert "on this machine and to your account only, until Ctrl-C." in shown
    assert "nothing else; murmura watch" not in " ".join(shown.split("  "))


def test_a_command_without_a_function_has_nothing_to_say() -> None:
    """Its arguments stay as they are."""
    bare = click.Command("bare", params=[click.Argument(["x"])])
    assert not getattr(readable(bare).params[0], "help", None)
