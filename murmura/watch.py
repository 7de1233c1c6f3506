"""`murmura watch`: a run as curves, while it runs and after."""

import os
import signal
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from murmura.machine import json_line
from murmura.options import Machine

if TYPE_CHECKING:
    from murmura.course import Course

_PAGE = "watch.html"


def watch(  # noqa: PLR0913 - one parameter for each option
    run: Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="Under way, or over.")],
    *,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page here; it follows the run.")
    ] = False,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="With --serve: of this machine's loopback.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --serve; 0: any free one.")
    ] = 8765,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help=f"Without --serve: where the page goes. [dim]default: {_PAGE} in the folder[/dim]",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    machine: Machine = False,
) -> None:
    """Show a run's [bold]curves[/bold]: loss, metrics, epsilon against its budget, clients, time.

    [green]murmura watch runs/ID[/green] writes one page that needs nothing else;
    [green]murmura watch runs/ID --serve[/green] serves one that follows the run, on this machine
    and to your account only, until Ctrl-C.
    """
    from murmura.course import Course  # noqa: PLC0415 - slow, and needed by no help

    course = Course(run).look()
    if serve:
        _serve(course, address, port, open_it=open_it, machine=machine)
        return
    from murmura.own_file import write_own  # noqa: PLC0415 - likewise
    from murmura.watch_page import whole  # noqa: PLC0415 - likewise

    target = out or run / _PAGE
    write_own(target, whole(course))
    typer.echo(json_line({"page": str(target), **course.to_json()}) if machine else str(target))
    if open_it:
        webbrowser.open(target.resolve().as_uri())


def _serve(course: "Course", address: str, port: int, *, open_it: bool, machine: bool) -> None:
    """Until Ctrl-C, which is how it ends well; a script's `&` may have shut that out."""
    from murmura.watch_service import WatchServer  # noqa: PLC0415 - slow, and needed by no help

    with WatchServer(course, address, port) as server:
        told = json_line({"url": server.url, **course.to_json()})
        heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ends = "Ctrl-C" if heard else f"kill {os.getpid()}"
        typer.echo(told if machine else f"{course.name}: {server.url} ({ends} ends it)")
        if open_it:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
