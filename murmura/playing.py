"""One run on this machine's service, from its settings to what the user is told at the end."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import typer
from rich.console import Console

from murmura.app_bundle import bundle_with, installed_bundle
from murmura.board import Board
from murmura.following import follow, stopping
from murmura.live import showing, view_for
from murmura.machine import json_line
from murmura.run_names import folder_of
from murmura.running import Output, advising, print_result
from murmura.settings import Settings
from murmura.submitting import (
    Service,
    Submitted,
    check,
    resumed_settings,
    submit,
    wait_for_sites,
)
from server.home import ServerHome
from shared.errors import ConfigurationError, FederationError

_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a run is submitted and shown.

    Attributes:
        app: Folder with a task of one's own.
        wait_s: For sites that are not online.
        detach: Return once it is submitted.
        output: How it is shown.
    """

    app: Path | None
    wait_s: float
    detach: bool
    output: Output


def resumed(home: ServerHome, name: str, how: How) -> None:
    """Go on with the run `name` from its last round that is on disk.

    Raises:
        StateError: no such run, or one that is finished or under way.
        FederationError: as `play`.
    """
    settings = resumed_settings(folder_of(home, name))
    check(settings)
    play(home, Service(home), settings, how)


def play(home: ServerHome, service: Service, settings: Settings, how: How) -> None:
    """Submit the run, show its progress and its result; or, detached, return at once.

    Raises:
        FederationError: what ended the run; its notes say how to go on.
        Interrupted: SIGINT or SIGTERM came; the run was stopped.
    """
    board = Board("at the sites")
    view = view_for(Console(stderr=how.output.machine), board, quiet=how.output.quiet)
    name = str(settings["output.run_id"])
    folder = home.runs / name
    with advising(board, _resume_command(home, name)):
        bundle = _bundle(str(settings["task"]), how)
        wait_for_sites(service, settings, how.wait_s, lambda text: _say(how, text))
        with stopping(service.control, folder, board):
            run = submit(home, service, settings, bundle)
            _say(how, f"run {run.name} is submitted, as Flower's number {run.number}")
            if how.detach:
                _told(run, how.output)
                return
            with showing(board, view), _naming(service):
                follow(run)
    print_result(folder, how.output)


@contextmanager
def _naming(service: Service) -> Iterator[None]:
    """What ends the run within it names sites, and no numbers that only Flower knows."""
    try:
        yield
    except FederationError as error:
        error.args = (service.named(str(error)),)
        raise


def _bundle(task: str, how: How) -> bytes:
    if how.app is None:
        if ":" in task:
            raise ConfigurationError(
                f"task {task!r} is one of your own: name the folder that holds it by --app"
            )
        return installed_bundle()
    bundle = bundle_with(how.app)
    digest = sha256(bundle).hexdigest()
    _say(how, f"app bundle {digest[:_SHORT]}: each site must `murmura client approve {digest}`")
    return bundle


def _resume_command(home: ServerHome, name: str) -> str:
    return f"murmura run --home {shlex.quote(str(home.root))} --resume {shlex.quote(name)}"


def _say(how: How, text: str) -> None:
    if not how.output.quiet:
        typer.echo(text, err=True)


def _told(run: Submitted, output: Output) -> None:
    content = {"run": run.name, "number": run.number, "run_folder": str(run.folder)}
    if output.machine:
        typer.echo(json_line(content))
    elif output.quiet:
        typer.echo(run.name)
