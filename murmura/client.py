"""`murmura client`: a site of a federation across machines, from its invitation to its service."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murmura.client_home import Home, check_name, decided, opened, recorder
from murmura.client_service import logs, start, status, stop
from murmura.machine import json_line
from murmura.options import Machine
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from client.approval import Approvals
    from client.recorder import Recorder

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="A site: join a server, run the guard, decide what may leave.",
)
app.command()(start)
app.command()(stop)
app.command()(status)
app.command()(logs)
_GROUP = 4


@app.command()
def join(  # noqa: PLR0913 - one parameter for each option
    line: Annotated[str, typer.Argument(metavar="LINE", help="The server's invitation.")],
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The data; read here, and nowhere else.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Tables policy, worker, budget."),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Privacy budget over all runs together.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Likewise; at most 1/(10 x records).")] = None,
    unit: Annotated[
        str | None, typer.Option(help="record or client: whose presence is hidden.")
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="A demonstration: which part of one data set.")
    ] = "",
    seeded_runs: Annotated[
        bool, typer.Option("--allow-seeded-runs", help="Noise the server can predict: tests only.")
    ] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Enrol this site by the line that the server's operator gave you.

    Keys are made here and never leave. The server is known by the line's fingerprint before
    anything is sent to it. What may leave, and how much in all, is asked once.

    Example: [green]murmura client join murmura1:eyJ... --data /data/xrays[/green]
    """
    from client.home import SiteHome  # noqa: PLC0415 - slow, and needed by no help
    from client.joining import Invitation  # noqa: PLC0415 - likewise
    from client.joining import join as enrolled  # noqa: PLC0415 - likewise
    from client.site_keys import identity_hex  # noqa: PLC0415 - likewise

    invitation = Invitation.parse(line)
    budget = {"epsilon": epsilon, "delta": delta, "unit": unit}
    choices = decided(data, policy, budget, part, seeded=seeded_runs)
    check_name(choices, invitation.name)
    place = SiteHome.chosen(home)
    certificate = enrolled(place, invitation, choices, recorder(place))
    content: dict[str, Any] = {
        "name": invitation.name,
        "server": invitation.address,
        "home": str(place.root),
        "identity": identity_hex(place),
        "certificate": asdict(certificate),
        "epsilon": choices.grant.epsilon,
        "delta": choices.grant.delta,
        "unit": choices.grant.unit,
    }
    if machine:
        typer.echo(json_line(content))
        return
    typer.echo(f"{invitation.name} joined {invitation.address}; its home is {place.root}")
    typer.echo(f"identity  {content['identity']}")
    there = f" --home {place.root}" if home is not None else ""
    typer.echo(f"next      murmura client start{there}")
    typer.echo(f"masks     a run under masks needs the roster too: murmura client roster{there}")


@app.command()
def approve(
    bundle: Annotated[
        str, typer.Argument(metavar="[HASH|FILE]", help="A bundle; none: show what waits.")
    ] = "",
    *,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Even without the server's signature.")
    ] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Accept it no longer.")] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Accept an app bundle: its code will compute on this site's data, in the worker.

    A bundle of exactly the code that is installed here, signed by the server, needs no approval.
    """
    from client.approval import Approvals  # noqa: PLC0415 - slow, and needed by no help

    place, settings = opened(home)
    approvals = Approvals(place, settings.site.app_key)
    if bundle:
        _decide(approvals, bundle, recorder(place), unsigned=unsigned, withdraw=withdraw)
    elif unsigned or withdraw:
        given = "--withdraw" if withdraw else "--unsigned"
        raise ConfigurationError(f"expected a bundle with {given}, got none")
    approved, seen = approvals.all(), {name: str(path) for name, path in approvals.seen().items()}
    if machine:
        typer.echo(json_line({"approved": approved, "seen": seen}))
        return
    for digest, entry in approved.items():
        typer.echo(f"approved  {digest}{'  without a signature' if entry['unsigned'] else ''}")
    waiting = sorted(seen.keys() - approved.keys())
    for digest in waiting:
        typer.echo(f"waits     {digest}  {seen[digest]}")
    if not waiting:
        typer.echo("no bundle waits")


def _decide(
    approvals: "Approvals", bundle: str, record: "Recorder", *, unsigned: bool, withdraw: bool
) -> None:
    from client.bundle import BundleRefused  # noqa: PLC0415 - slow, and needed by no help

    try:
        digest = approvals.resolve(bundle)
    except BundleRefused as error:
        raise ConfigurationError(f"{bundle} is no app bundle: {error}") from error
    if not withdraw:
        # Before it counts: the log may tell more than happened, never less.
        record("approved", bundle=digest, unsigned=unsigned)
        approvals.approve(digest, unsigned=unsigned)
    elif digest in approvals.all():
        approvals.withdraw(digest)
        record("withdrawn", bundle=digest)
    else:
        raise ConfigurationError(f"expected a bundle that was approved, got {digest}")


@app.command()
def roster(
    *,
    accept: Annotated[
        str, typer.Option(metavar="FINGERPRINT", help="As the other sites read it to you.")
    ] = "",
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Show the server's list of all sites' keys, and accept it by its fingerprint.

    Secure aggregation hides a site among those of the roster. A server that could change it could
    stand between all of them; so compare the fingerprint by another way than through the server.
    """
    from client.renewal import accept_roster, fetch_roster  # noqa: PLC0415 - slow
    from shared.app_signatures import fingerprint  # noqa: PLC0415 - likewise
    from shared.durable import read_json  # noqa: PLC0415 - likewise

    place, settings = opened(home)
    found = fetch_roster(place, settings.site)
    known = fingerprint(found)
    if accept:
        accept_roster(place, settings.site, found, accept, recorder(place))
    before = read_json(place.roster)
    accepted = bool(before) and fingerprint(before) == known
    content = {"fingerprint": known, "clients": found["clients"], "accepted": accepted}
    if machine:
        typer.echo(json_line(content))
        return
    for name, key in sorted(found["clients"].items()):
        typer.echo(f"{name:24} {key}")
    groups = " ".join(known[n : n + _GROUP] for n in range(0, len(known), _GROUP))
    typer.echo(f"fingerprint {groups}")
    other = "another one was accepted; " if before else "not accepted yet; "
    typer.echo("accepted" if accepted else f"{other}--accept FINGERPRINT accepts it")


@app.command()
def renew(*, home: Home = None, machine: Machine = False) -> None:
    """Ask for a new certificate now; the guard does it by itself in time."""
    from client.renewal import renew as renewed  # noqa: PLC0415 - slow, and needed by no help

    place, settings = opened(home)
    certificate = renewed(place, settings.site, recorder(place))
    if machine:
        typer.echo(json_line(asdict(certificate)))
        return
    typer.echo(f"renewed: number {certificate.serial}")
