"""Entries of a signed log: one line of canonical JSON each, with its own hash and a signature.

`hash` is the SHA-256 of the entry without hash and signature, `signature` an Ed25519 signature of
that hash. There is one spelling of an entry: another one with the same content is not accepted.
What chains entries to each other (a number, the hash before) is part of their content.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import StateError

START = "0" * 64  # the hash before the first entry


class Wrong(StrEnum):
    """What is the matter with one line, whatever stands before it."""

    CHANGED = "changed"
    FOREIGN = "foreign"


class WrongLine(StateError):  # noqa: N818 - what it is about
    """A line is no entry, or not one of this key's.

    Attributes:
        wrong: Which of the two.
    """

    def __init__(self, wrong: Wrong, text: str) -> None:
        super().__init__(text)
        self.wrong = wrong


def canonical(entry: Mapping[str, Any]) -> bytes:
    """The one spelling of `entry`: sorted keys, no spaces, ASCII."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def digest(entry: Mapping[str, Any]) -> str:
    """SHA-256 of `entry`, hexadecimal."""
    return hashlib.sha256(canonical(entry)).hexdigest()


def signed_line(
    entry: Mapping[str, Any], key: Ed25519PrivateKey, *, purpose: bytes = b""
) -> tuple[dict[str, Any], bytes]:
    """`entry` with hash and signature, and the line that holds it, newline included.

    Args:
        entry: Without hash and signature.
        key: Who vouches for it.
        purpose: Signed before the hash: a signature for one log is none for another.
    """
    found = digest(entry)
    signature = key.sign(purpose + bytes.fromhex(found)).hex()
    whole = {**entry, "hash": found, "signature": signature}
    return whole, canonical(whole) + b"\n"


def read_line(line: bytes, key: Ed25519PublicKey, *, purpose: bytes = b"") -> dict[str, Any]:
    """The entry in `line`, which has no newline; with hash and signature.

    Raises:
        WrongLine: no entry in its one spelling, another hash than its content's, or a signature
            that is not of `key`.
    """
    try:
        whole: dict[str, Any] = json.loads(line)
        entry = {name: value for name, value in whole.items() if name not in {"hash", "signature"}}
        claimed, signature = whole["hash"], bytes.fromhex(whole["signature"])
        # One spelling of the signature too: fromhex takes capitals and spaces.
        intact = canonical(whole | {"signature": signature.hex()}) == line
        intact = intact and claimed == digest(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WrongLine(Wrong.CHANGED, "expected an entry, got a line that is none") from error
    if not intact:
        raise WrongLine(Wrong.CHANGED, "expected the entry that its hash is of, got another")
    if not signs(claimed, signature, key, purpose=purpose):
        raise WrongLine(Wrong.FOREIGN, "expected a signature of this log's key, got another")
    return whole


def signs(hashed: str, signature: bytes, key: Ed25519PublicKey, *, purpose: bytes = b"") -> bool:
    """Whether `signature` is the one of `key` for the entry with this hash."""
    try:
        key.verify(signature, purpose + bytes.fromhex(hashed))
    except (ValueError, InvalidSignature):
        return False
    return True
