"""`murmura doctor`: what is wrong with a server or a site, in words, and what to do about it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from murmura.exit_codes import ExitCode
from murmura.machine import json_line
from murmura.options import Machine
from shared.errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from murmura.doctor_checks import Check

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    *,
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A home. [dim]default: every home of this user[/dim]"),
    ] = None,
    server: Annotated[bool, typer.Option("--server", help="Look at the server's alone.")] = False,
    client: Annotated[bool, typer.Option("--client", help="Look at the site's alone.")] = False,
    machine: Machine = False,
) -> None:
    """Look at everything that a federation needs here, and say what is wrong. Exit 4 if it fails.

    Nothing is changed, and nothing of the data or keys is shown.
    """
    if server and client:
        raise ConfigurationError("expected --server or --client, got both")
    found = list(_checks(home, server=server, client=client))
    failed = sum(check.level == "fail" for check in found)
    if machine:
        typer.echo(json_line({"failed": failed, "checks": [asdict(check) for check in found]}))
    else:
        Console(highlight=False).print(_table(found))
        typer.echo(f"{failed} of {len(found)} checks fail" if failed else "nothing fails")
    if failed:
        raise typer.Exit(ExitCode.FEDERATION)


def _checks(home: Path | None, *, server: bool, client: bool) -> "Iterator[Check]":
    from client.home import SiteHome  # noqa: PLC0415 - slow, and needed by no help
    from murmura.doctor_checks import installed, this_gpu, versions  # noqa: PLC0415 - likewise
    from murmura.doctor_server import server_checks  # noqa: PLC0415 - likewise
    from murmura.doctor_site import site_checks  # noqa: PLC0415 - likewise
    from server.home import ServerHome, default_home  # noqa: PLC0415 - likewise

    of_server = ServerHome((home or default_home()).expanduser().absolute())
    of_site = SiteHome.chosen(home)
    at_server = server or (not client and of_server.settings_file.exists())
    at_site = client or (not server and of_site.settings.exists())
    if not at_server and not at_site:
        raise StateError(
            f"expected a home in {of_server.root} or {of_site.root}, got none; `murmura server "
            "init` or `murmura client join` makes one"
        )
    yield versions(installed())
    yield this_gpu()
    if at_server:
        yield from server_checks(of_server)
    if at_site:
        yield from site_checks(of_site)


def _table(found: "list[Check]") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in found:
        table.add_row(
            Text(check.level, style=_COLOURS[check.level]),
            *(Text(text) for text in (check.name, check.text, check.advice)),
        )
    return table
