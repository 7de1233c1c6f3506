"""`murmura ledger`: the privacy budget that a site owns, and what was spent of it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.options import Machine
from murmura.own_file import write_own
from murmura.settings import layered
from shared.counting import counted

if TYPE_CHECKING:
    from client.ledger import Ledger
    from client.ledger_state import Block

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The privacy budget of a site's data: set it, look at it, check it, plan with it.",
)
Folder = Annotated[
    Path, typer.Option("--ledger", metavar="DIR", help="The ledger's folder; only its owner's.")
]
Witness = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its second file. [dim]default: beside the folder[/dim]"),
]


@app.command("set-budget")
def set_budget(  # noqa: PLR0913 - one parameter for each option
    *,
    ledger: Folder,
    data_set: Annotated[str, typer.Option(help="Name of the data.")],
    epsilon: Annotated[float, typer.Option(help="Over all servers, runs and times together.")],
    delta: Annotated[float, typer.Option(help="Likewise; at most 1/(10 x records).")],
    unit: Annotated[str, typer.Option(help="record or client: whose presence is hidden.")],
    block: Annotated[
        str, typer.Option(help="Part of the data; new records open new blocks.")
    ] = "all",
    quota: Annotated[float, typer.Option(help="Share of epsilon that one server may spend.")] = 1.0,
    min_separation: Annotated[
        float, typer.Option(help="Seconds between two releases of one kind to one server.")
    ] = 0.0,
    witness: Witness = None,
) -> None:
    """Grant a budget; makes the ledger where there is none. What was spent stays spent."""
    from client.ledger import Ledger  # noqa: PLC0415 - slow, and needed by no help
    from client.ledger_journal import JOURNAL  # noqa: PLC0415 - likewise
    from client.ledger_state import Grant  # noqa: PLC0415 - likewise

    grant = Grant(
        data_set=data_set,
        block=block,
        unit=unit,
        epsilon=epsilon,
        delta=delta,
        quota=quota,
        min_separation_s=min_separation,
    )
    if (ledger / JOURNAL).exists():
        Ledger(ledger, witness).set_budget(grant)
    else:
        Ledger.create(ledger, grant, witness)
    typer.echo(f"{data_set}, block {block}: epsilon {epsilon!r} at delta {delta!r}, unit {unit}")


@app.command()
def show(*, ledger: Folder, witness: Witness = None, machine: Machine = False) -> None:
    """What was granted and spent, by block and by server."""
    opened = _open(ledger, witness)
    blocks = [_block(opened, name, block) for name, block in sorted(opened.blocks.items())]
    if machine:
        head = asdict(opened.head())
        typer.echo(json_line({"blocks": blocks, "head": head, "torn": opened.torn}))
        return
    console = Console(highlight=False)
    for block in blocks:
        console.print(_table(block))
        relation = block["adjacency"].replace("_", " ")
        console.print(f"adjacency: {relation}; against servers, and whoever sees what they see")
    reservations = opened.reservations
    answered = sum(reply is not None for reply in reservations.values())
    console.print(f"{counted(len(reservations), 'release')} charged, {answered} answered")
    if opened.torn:
        torn = counted(opened.torn, "entry", "entries")
        console.print(f"{torn} torn by a crash, for which nothing was released")
    console.print(f"entry {opened.head().count}, head {opened.head().hash}")


@app.command()
def verify(*, ledger: Folder, witness: Witness = None, machine: Machine = False) -> None:
    """Check every entry: number, hash, chain, signature, witness. Exit 5 if anything differs."""
    head = _open(ledger, witness).head()
    if machine:
        typer.echo(json_line({"intact": True, "head": asdict(head)}))
        return
    typer.echo(f"intact: {counted(head.count, 'entry', 'entries')}, head {head.hash}")


@app.command()
def export(
    *,
    ledger: Folder,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the entries go.")],
    witness: Witness = None,
) -> None:
    """Write every entry and the signed head as JSON, for an auditor."""
    opened = _open(ledger, witness)
    entries = opened.entries
    # Secrecy: when the site was asked, by whom, and how much it spent.
    write_own(out, json_line({"entries": entries, "head": asdict(opened.head())}) + "\n")
    typer.echo(f"{counted(len(entries), 'entry', 'entries')}: {out}")


@app.command()
def forecast(
    *,
    ledger: Folder,
    plan: Annotated[Path, typer.Option(metavar="FILE.toml", help="Settings of a run.")],
    server: Annotated[str, typer.Option(help="Name of the server in this ledger.")] = "server",
    witness: Witness = None,
    machine: Machine = False,
) -> None:
    """How many more rounds of a plan the budget allows."""
    opened = _open(ledger, witness)
    from shared.dp.plan import PrivacyPlan  # noqa: PLC0415 - slow, and needed by no help

    planned = PrivacyPlan.from_config(layered(plan, [], {}).config())
    rounds = opened.rounds_left(planned, server)
    enough = rounds >= planned.rounds
    if machine:
        typer.echo(
            json_line({"rounds": rounds, "rounds_planned": planned.rounds, "enough": enough})
        )
        return
    typer.echo(
        f"{counted(rounds, 'more round fits', 'more rounds fit')}; the plan has {planned.rounds}: "
        f"{'it fits' if enough else 'it does not fit'}"
    )


def _open(folder: Path, witness: Path | None) -> "Ledger":
    from client.ledger import Ledger  # noqa: PLC0415 - slow, and needed by no help

    return Ledger(folder, witness)


def _block(opened: "Ledger", name: str, block: "Block") -> dict[str, Any]:
    from shared.dp.accounting import epsilon_of  # noqa: PLC0415 - slow, and needed by no help
    from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy  # noqa: PLC0415 - likewise

    relation = (ClientPrivacy if block.grant.unit == "client" else RecordPrivacy).adjacency
    events = opened.exposure(name)
    adjacency = next((e["adjacency"] for e in opened.entries if e["kind"] == "reserve"), None)
    tight = epsilon_of(events, block.grant.delta, adjacency).epsilon if adjacency else 0.0
    return asdict(block.grant) | {
        "adjacency": relation.value,
        "spent_epsilon": opened.spent(name),
        "spent_epsilon_pld": tight,
        "by_server": {
            server: block.budget.epsilon_of(spent) for server, spent in block.by_server.items()
        },
    }


def _table(block: Mapping[str, Any]) -> Table:
    table = Table(title=f"{block['data_set']}, block {block['block']}", title_justify="left")
    for heading in ("who", "epsilon spent", "of", "delta", "unit"):
        table.add_column(heading)
    granted, delta, unit = block["epsilon"], repr(block["delta"]), f"one {block['unit']}"
    counted_as, proven = block["spent_epsilon"], block["spent_epsilon_pld"]
    # The filter's is what the next release is judged by; what was spent in fact is less.
    spent = str(counted_as) if proven == counted_as else f"{counted_as} (at most {proven} in fact)"
    table.add_row("all servers", spent, repr(granted), delta, unit)
    for server, epsilon in sorted(block["by_server"].items()):
        table.add_row(server, str(epsilon), repr(granted * block["quota"]), delta, unit)
    return table
