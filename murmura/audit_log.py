"""`murmura audit-log`: what a home's log says, and whether anybody changed it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murmura.machine import json_line
from murmura.options import Machine
from shared.counting import counted
from shared.errors import MessageError, StateError
from shared.log_lines import readable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from shared.audit_check import AuditHead, Verdict

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The signed log of a server or site: who joined, what was approved, what left.",
)
LOG = "audit.jsonl"
_KEYS = ("keys/app.key", "keys/identity.key")  # of a server's home, and of a site's
_RAW = 32  # bytes of an Ed25519 key
Place = Annotated[Path, typer.Argument(metavar="PATH", help="A home, or its log.")]
Key = Annotated[
    str,
    typer.Option(
        metavar="KEY", help="Public key, hexadecimal, or a file. [dim]default: of the home[/dim]"
    ),
]
Known = Annotated[
    list[str] | None,
    typer.Option(
        "--head",
        metavar="HEAD",
        help="A head seen before: N:HASH, or a file. Several may be given.",
    ),
]


@app.command()
def verify(place: Place, *, key: Key = "", head: Known = None, machine: Machine = False) -> None:
    """Check every entry: number, hash, chain, signature. Exit 5 if anything differs.

    Entries cut off at the end are found only against a head that was seen before (`--head`), which
    somebody else keeps: the last `head` that `murmura audit-log head` printed, say.
    """
    verdict = _verdict(place, key, head or [])
    if machine:
        flaw = None if verdict.flaw is None else str(verdict.flaw)
        found = {"intact": verdict.intact, "line": verdict.line, "flaw": flaw, "why": verdict.text}
        typer.echo(
            json_line(found | {"head": verdict.head.to_json(), "heads_known": len(head or [])})
        )
    _raise_unless_intact(verdict, place)
    if not machine:
        against = "" if head else "; entries cut off at the end are seen only with --head"
        typer.echo(f"intact: {_entries(verdict)}, head {verdict.head.hash}{against}")


@app.command("head")
def print_head(place: Place, *, key: Key = "", machine: Machine = False) -> None:
    """Print where the log stands, signed, for somebody else to keep."""
    verdict = _verdict(place, key, [])
    _raise_unless_intact(verdict, place)
    found = verdict.head
    typer.echo(json_line(found.to_json()) if machine else f"{found.n}:{found.hash}")


@app.command()
def show(
    place: Place,
    *,
    key: Key = "",
    last: Annotated[int, typer.Option(min=0, help="So many of the last entries; 0: all.")] = 0,
    machine: Machine = False,
) -> None:
    """Print the entries, once they are verified. Exit 5 if anything differs; nothing is shown."""
    verdict = _verdict(place, key, [])
    _raise_unless_intact(verdict, place)
    whole = _log_of(place).read_bytes().splitlines()[: verdict.head.n]
    entries = [json.loads(line) for line in whole[-last if last else None :]]
    if machine:
        typer.echo(json_line({"entries": entries, "head": verdict.head.to_json()}))
        return
    for line in _lines(entries):
        typer.echo(readable(line))
    typer.echo(f"{_entries(verdict)}, head {verdict.head.hash}")


def _entries(verdict: "Verdict") -> str:
    return counted(verdict.head.n, "entry", "entries")


def _lines(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Each entry, what it says below it, each on a line of its own: a hash can be copied whole."""
    width = max((len(str(entry["n"])) for entry in entries), default=0)
    for entry in entries:
        yield f"{entry['n']:>{width}}  {entry['time']}  {entry['event']}"
        names = max(map(len, entry["detail"]), default=0)
        for name, value in entry["detail"].items():
            yield f"{'':{width}}  {name:<{names}}  {value}"


def _verdict(place: Path, key: str, heads: list[str]) -> "Verdict":
    from shared.audit_check import verify as verified  # noqa: PLC0415 - slow, needed by no help

    return verified(_log_of(place), _key(place, key), [_head(head) for head in heads])


def _raise_unless_intact(verdict: "Verdict", place: Path) -> None:
    if not verdict.intact:
        raise StateError(
            f"{_log_of(place)} is broken at line {verdict.line}: {verdict.flaw}; {verdict.text}"
        )


def _log_of(place: Path) -> Path:
    return place / LOG if place.is_dir() else place


def _head(text: str) -> "AuditHead":
    from shared.audit_check import AuditHead  # noqa: PLC0415 - slow, and needed by no help

    try:
        return AuditHead.parse(Path(text).read_text() if Path(text).is_file() else text)
    except (MessageError, OSError, UnicodeDecodeError) as error:
        raise StateError(f"expected a head, N:HASH or its file, got {text!r}") from error


def _key(place: Path, given: str) -> "Ed25519PublicKey":
    """The key that is named, or the one of the home that the log lies in."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    home = _log_of(place).parent
    files = [Path(given)] if given else [home / name for name in _KEYS]
    found = [path for path in files if path.is_file()]
    if found:
        return _public(found[0])
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(given))
    except ValueError as error:
        places = " or ".join(map(str, files))
        raise StateError(f"expected the log's key in {places}, got none; name it: --key") from error


def _public(path: Path) -> "Ed25519PublicKey":
    """The public key of what `path` holds: PEM of either key, or the 32 bytes of a private one."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
        load_pem_public_key,
    )

    try:
        content = path.read_bytes()
        if len(content) == _RAW:
            return Ed25519PrivateKey.from_private_bytes(content).public_key()
        if b"PUBLIC KEY" in content:
            key = load_pem_public_key(content)
        else:
            key = load_pem_private_key(content, None).public_key()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Secrecy: what stands in the file is not shown.
        raise StateError(f"expected an Ed25519 key in {path}, got none") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StateError(f"expected an Ed25519 key in {path}, got another kind")
    return key
