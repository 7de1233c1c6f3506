"""`murmura server`: a federation's server, from its making to its end."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murmura.exit_codes import ExitCode
from murmura.machine import json_line
from murmura.options import Machine
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from server.home import ServerHome

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="A federation's server: make it, run it, let sites in and out.",
)
Home = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="[dim]default: $MURMURA_HOME, else ~/.murmura/server[/dim]"),
]
_LOGS = ("serving", "superexec", "service")


@app.command()
def init(
    *,
    name: Annotated[
        list[str] | None,
        typer.Option(help="DNS name or IP address that sites use; more than once for several."),
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(help="Address to listen on. [dim]default: all[/dim]")
    ] = None,
    port: Annotated[int, typer.Option(help="The one port that sites must reach.")] = 8443,
    internal_port: Annotated[int, typer.Option(help="On loopback, for this machine alone.")] = 8444,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Make keys, certificate authority, server certificate and settings; asks nothing.

    Example: [green]murmura server init --name fl.example.org[/green]
    """
    from server.founding import found  # noqa: PLC0415 - slow, and needed by no help
    from server.settings import EVERYWHERE, ServerSettings  # noqa: PLC0415 - likewise

    settings = ServerSettings(
        names=tuple(name or [_own_name()]),
        listen=tuple(listen or EVERYWHERE),
        port=port,
        internal_port=internal_port,
    )
    place = _home(home)
    authority = found(place, settings)
    there = f" --home {place.root}" if home is not None else ""
    content = {
        "home": str(place.root),
        "names": list(settings.names),
        "port": settings.port,
        "fingerprint": authority.fingerprint,
        "settings": str(place.settings_file),
    }
    _tell(
        machine,
        content,
        f"home         {place.root}",
        f"names        {', '.join(settings.names)}",
        f"port         {settings.port or 'a free one at each start'}, the only one to be opened",
        f"fingerprint  {authority.fingerprint}",
        f"next         murmura server start{there}; murmura server invite NAME{there}",
    )


@app.command()
def start(
    *,
    detach: Annotated[bool, typer.Option(help="Go on in the background.")] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Serve until it is stopped; prints fingerprint, addresses and health once it answers."""
    from server.service import Service  # noqa: PLC0415 - slow, and needed by no help

    place = _home(home)
    if detach:
        from murmura.detaching import start_detached  # noqa: PLC0415 - likewise

        _started(place, start_detached(place), machine)
        return
    Service(place).run(lambda facts: _started(place, facts, machine))


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="The site's name.")],
    *,
    hours: Annotated[float, typer.Option(help="How long the token can be used.")] = 24.0,
    address: Annotated[
        str, typer.Option(help="Another name of the server, or NAME:PORT, for this site.")
    ] = "",
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Print the one line with which a site joins; give it to the site's operator alone."""
    from server.authority import Authority  # noqa: PLC0415 - slow, and needed by no help
    from server.invitations import Invitations, invitation_line  # noqa: PLC0415 - likewise
    from server.local_client import facts_of, told_address  # noqa: PLC0415 - likewise
    from server.recorder import recorder_of  # noqa: PLC0415 - likewise
    from server.sites import Sites  # noqa: PLC0415 - likewise

    place = _home(home)
    place.check()
    told = told_address(place, facts_of(place), address)
    with place.locked():
        if name in Sites(place).active():
            raise ConfigurationError(f"expected a new name, got {name!r}; revoke it first")
        token, expires = Invitations(place).invite(name, hours)
        recorder_of(place)("invited", site=name, expires=int(expires))
    line = invitation_line(
        address=told,
        fingerprint=Authority.open(place).fingerprint,
        token=token,
        name=name,
        expires=expires,
    )
    content = {"name": name, "address": told, "expires": int(expires), "line": line}
    _tell(machine, content, line)


@app.command()
def status(*, home: Home = None, machine: Machine = False) -> None:
    """Whether it runs and answers, its sites, invitations and runs. Exit 4 if it does not run."""
    from murmura.server_status import status_content, status_lines  # noqa: PLC0415 - slow

    place = _home(home)
    place.check()
    content = status_content(place)
    _tell(machine, content, *status_lines(content))
    if not content["running"]:
        raise typer.Exit(ExitCode.FEDERATION)


@app.command()
def logs(
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", help="The last so many of each.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they grow.")] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Print what the service's processes wrote last."""
    from murmura.log_tails import follow_logs, last_lines  # noqa: PLC0415 - needed by no help
    from shared.log_lines import readable  # noqa: PLC0415 - likewise

    place = _home(home)
    place.check()
    paths = {name: place.logs / f"{name}.log" for name in _LOGS}
    found = {name: last_lines(path, lines) for name, path in paths.items()}
    _tell(
        machine,
        {"logs": found},
        *(f"{name}: {readable(line)}" for name, entries in found.items() for line in entries),
    )
    if follow:
        follow_logs(paths, typer.echo)


@app.command()
def renew(
    *,
    name: Annotated[
        list[str] | None, typer.Option(help="One name more for the certificate to hold.")
    ] = None,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Make a new server certificate; a running server takes it without a stop.

    It does so by itself a month before the end. Sites renew theirs by themselves, too.
    """
    from dataclasses import replace  # noqa: PLC0415 - needed by no help

    from server.authority import Authority  # noqa: PLC0415 - slow
    from server.recorder import recorder_of  # noqa: PLC0415 - likewise
    from shared.durable import write_private  # noqa: PLC0415 - likewise

    place = _home(home)
    place.check()
    with place.locked():
        settings = place.settings()
        names = tuple(dict.fromkeys((*settings.names, *(name or []))))
        settings = replace(settings, names=names)
        issued = Authority.open(place).renew_server(names)
        recorder_of(place)("renewed", serial=issued.serial, expires=int(issued.expires))
        write_private(place.settings_file, settings.to_toml().encode())
    content = {"names": list(names), "serial": issued.serial, "expires": int(issued.expires)}
    _tell(machine, content, f"names    {', '.join(names)}", f"expires  {_day(issued.expires)}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The site's name.")],
    *,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Put a site out, at once: its certificates, its node and its connections end."""
    from server.recorder import recorder_of  # noqa: PLC0415 - slow, and needed by no help
    from server.sites import Sites  # noqa: PLC0415 - likewise

    place = _home(home)
    place.check()
    with place.locked():
        site = Sites(place).revoke(name)
        for serial in sorted(site.certificates):
            recorder_of(place)("revoked", site=name, serial=serial)
    content = {"name": name, "serials": sorted(site.certificates)}
    _tell(machine, content, f"{name} is out; it can be invited again, with new keys")


@app.command()
def stop(*, home: Home = None, machine: Machine = False) -> None:
    """End the service; runs under way stop and can be resumed."""
    from server.service import stop_running  # noqa: PLC0415 - slow, and needed by no help

    place = _home(home)
    place.check()
    was_running = stop_running(place)
    _tell(machine, {"stopped": was_running}, "stopped" if was_running else "nothing was running")


def _started(place: "ServerHome", facts: Mapping[str, Any], machine: bool) -> None:
    from server.authority import Authority  # noqa: PLC0415 - slow, and needed by no help
    from server.local_client import health_of, told_address  # noqa: PLC0415 - likewise

    health = health_of(place, facts)
    content = {
        "pid": facts["pid"],
        "fingerprint": Authority.open(place).fingerprint,
        "address": told_address(place, facts),
        "health": health,
        "internal": f"127.0.0.1:{facts['internal']}",
    }
    _tell(
        machine,
        content,
        f"fingerprint  {content['fingerprint']}",
        f"sites go to  {content['address']}",
        *(f"listens on   {address}: {state}" for address, state in health.items()),
        f"on loopback  {content['internal']}",
    )


def _home(given: Path | None) -> "ServerHome":
    from server.home import ServerHome, default_home  # noqa: PLC0415 - needed by no help

    return ServerHome((given or default_home()).expanduser().absolute())


def _own_name() -> str:
    """This machine's name, where it is one that a certificate can hold."""
    import socket  # noqa: PLC0415 - needed by no help

    from server.settings import checked_name  # noqa: PLC0415 - likewise

    try:
        return checked_name(socket.getfqdn().lower())
    except ConfigurationError:
        return "localhost"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _tell(machine: bool, content: Mapping[str, Any], *lines: str) -> None:
    if machine:
        typer.echo(json_line(content))
        return
    for line in lines:
        typer.echo(line)
