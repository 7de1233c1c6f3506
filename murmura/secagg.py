"""`murmura secagg`: what secure aggregation costs, and a site's identity for it."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.options import Machine
from murmura.wording import bytes_text, duration_text
from shared.errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from shared.secagg.parameters import AggregationParameters

app = typer.Typer(no_args_is_help=True, help="Secure aggregation: parameters and identities.")
_SHARE_BYTES, _SEAL_BYTES = 32, 16
_LARGEST = 1e12  # numbers in an update
_LONGEST_NAME = 100  # as at the server, where a site enrols


@app.command()
def parameters(  # noqa: PLR0913 - one for each option
    *,
    clients: Annotated[int, typer.Option(min=3, help="Clients that are asked in a round.")],
    roster: Annotated[
        int, typer.Option(min=0, help="Clients that are enrolled; 0: those asked.")
    ] = 0,
    corrupt: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the enrolled that may work with the server."),
    ] = 0.1,
    dropped: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of those asked that may be lost.")
    ] = 0.1,
    model_size: Annotated[float, typer.Option(help="Numbers in an update, such as 1e6.")] = 1e6,
    bits: Annotated[int, typer.Option(help="Of each number sent: 16, 20, 24 or 32.")] = 20,
    helpers: Annotated[
        int, typer.Option(min=0, help="Fixed clients who undo the masks; 0: a committee.")
    ] = 0,
    machine: Machine = False,
) -> None:
    """Neighbours, committee, thresholds, upload and time of a round.

    Computed exactly, for security of 2⁻⁴⁰ against a server that tries 2⁶⁰ rounds on its own;
    parameters that do not reach it are refused. Times are measured here, on one core.

    Example: [green]murmura secagg parameters --clients 1000 --corrupt 0.1 --dropped 0.1
    --model-size 1e6[/green]
    """
    from shared.secagg.parameters import parameters_for  # noqa: PLC0415
    from shared.secagg.ring import packed_bytes, word  # noqa: PLC0415

    if not 1 <= model_size <= _LARGEST or model_size != int(model_size):
        raise ConfigurationError(
            f"--model-size must be a whole number from 1 to {_LARGEST:g}, got {model_size!r}"
        )
    if roster and roster < clients:
        raise ConfigurationError(f"--roster must be 0 or at least {clients}, got {roster}")
    word(bits)
    found = parameters_for(clients, roster or clients, corrupt, dropped, helpers)
    padded = 1 << (int(model_size) - 1).bit_length()
    seeds = 0 if helpers else (1 + found.degree) * _SHARE_BYTES
    # Commitments once; shares for those alone that cannot derive theirs.
    sealed = found.committee_size - found.threshold + 1
    share_bytes = seeds + sealed * (seeds + _SEAL_BYTES) if seeds else 0
    content = {
        "clients": clients,
        "roster": roster or clients,
        "corrupt": found.corrupt,
        "dropped": found.dropped,
        "neighbours": found.degree,
        "committee": found.committee_size,
        "threshold": found.threshold,
        "survivors": found.survivors,
        "bits": bits,
        "vector_bytes": packed_bytes(padded, bits),
        "share_bytes": share_bytes,
        "float32_bytes": 4 * int(model_size),
        "helped": found.helped,
        "mask_seconds": _mask_seconds(found, padded, bits),
    }
    if machine:
        typer.echo(json_line(content))
        return
    Console(highlight=False).print(_table(content, found))


@app.command()
def identity(
    *,
    out: Annotated[Path, typer.Option(help="File of the private key; must not exist yet.")],
    name: Annotated[str, typer.Option(help="The site's name, as in its node config.")],
    machine: Machine = False,
) -> None:
    """Make a site's identity key, and print its entry in the roster.

    The key stays at the site. The entries of all sites, in one file of the form
    {"format": "murmura-roster-1", "clients": {name: key, ...}}, must reach every site by a
    channel that the server cannot rewrite: whoever can change it can stand between all of them.
    """
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(
            f"--name must be a printable name of at most {_LONGEST_NAME} characters, got {name!r}"
        )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Secrecy: readable by its owner alone from the first moment on.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise StateError(f"expected no file at {out}, got one; a key is never replaced") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    entry = {name: key.public_key().public_bytes_raw().hex()}
    if machine:
        typer.echo(json_line({"key_file": str(out), "roster_entry": entry}))
        return
    typer.echo(f"private key  {out} (stays here)")
    typer.echo(f"roster entry {json.dumps(entry)}")


def _mask_seconds(found: "AggregationParameters", length: int, bits: int) -> float:
    """Keystream and addition of one client's masks, measured on a part of the vector."""
    import numpy as np  # noqa: PLC0415

    from shared.secagg.prg import add_masks  # noqa: PLC0415
    from shared.secagg.ring import word  # noqa: PLC0415

    part = min(length, 1 << 18)
    vector = np.zeros(part, dtype=word(bits))
    seeds = [bytes([n % 256]) * 32 for n in range(min(found.degree + 1, 32))]
    add_masks(vector, seeds, [])
    start = time.perf_counter()
    add_masks(vector, seeds, [])
    each = (time.perf_counter() - start) / (part * len(seeds))
    return each * length * (found.degree + 1)


def _table(content: dict[str, float], found: "AggregationParameters") -> Table:
    share = content["share_bytes"] / content["vector_bytes"]
    saved = content["vector_bytes"] / content["float32_bytes"]
    graph = "all with all" if found.complete else f"{content['neighbours']} neighbours each"
    graph = f"with {found.committee_size} helpers" if found.helped else graph
    table = Table(show_header=False, box=None)
    table.add_row("withstands", f"{content['corrupt']} corrupt of {content['roster']} enrolled")
    table.add_row("survives", f"{content['dropped']} lost of {content['clients']} asked")
    table.add_row("masks", graph)
    who = "helpers" if found.helped else "committee"
    table.add_row(who, f"{content['committee']}, of whom {content['threshold']} must answer")
    table.add_row("summed at least", f"{content['survivors']} clients")
    table.add_row("ring", f"{content['bits']} bits a number")
    table.add_row("upload", f"{bytes_text(content['vector_bytes'])}, {saved:.2f} of float32")
    table.add_row("shares", f"{bytes_text(content['share_bytes'])}, {share:.1%} of the upload")
    seconds = content["mask_seconds"]
    took = f"{seconds * 1e3:.0f} ms" if seconds < 1.0 else duration_text(seconds)
    table.add_row("masking", f"about {took} a client, here")
    return table
