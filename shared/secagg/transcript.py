"""One encoding for whatever is signed, hashed or derived from: no two inputs share one.

Each part is its type, its length and its content; a list is its length and its parts. Keys are
derived by HKDF-SHA256 (RFC 5869) with a purpose of their own.
"""

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = "murmura/secagg/v1/"
KEY_BYTES = 32
Part = str | int | bytes | Iterable["Part"]


def canonical(*parts: Part) -> bytes:
    """`parts` as bytes, one to one.

    Raises:
        TypeError: a part is none of text, whole number, bytes and a list of these.
    """
    return b"".join(map(_encoded, parts))


def digest(purpose: str, *parts: Part) -> bytes:
    """SHA-256 of `parts` for one purpose, 32 bytes."""
    return hashlib.sha256(canonical(VERSION + purpose, *parts)).digest()


def derive(secret: bytes, purpose: str, *parts: Part) -> bytes:
    """A key of 32 bytes for one purpose and these parts; others tell nothing of it."""
    # Secrecy: purpose and parts are in the information: no key serves two ends.
    info = (VERSION + purpose).encode() + canonical(*parts)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)


def _encoded(part: Part) -> bytes:
    # The frequent ones first: tens of thousands are encoded in a round.
    if isinstance(part, bytes):
        kind, content = b"b", part
    elif isinstance(part, str):
        kind, content = b"s", part.encode()
    elif isinstance(part, bool):
        raise TypeError("expected a whole number, got a truth value")
    elif isinstance(part, int):
        kind, content = b"i", b"%d" % part
    elif isinstance(part, tuple) or isinstance(part, list):  # noqa: SIM101 - twice as fast
        kind, content = b"l", b"".join(map(_encoded, part))
    else:
        raise TypeError(f"expected text, a whole number or bytes, got {type(part).__name__}")
    return kind + len(content).to_bytes(8, "little") + content
