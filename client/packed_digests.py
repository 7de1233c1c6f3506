"""Many SHA-256 digests in little memory: what a process remembers for as long as it lives.

A dictionary of tuples takes several hundred bytes an entry; a guard that answers a round each
second for years would be filled by its own ledger.
"""

import re
from collections import defaultdict

from shared.errors import StateError

DIGEST_BYTES = 32
_HEXADECIMAL = re.compile(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}")
_UNKNOWN = -1


def check_hexadecimal(digest: str) -> None:
    """Raise StateError on what is no SHA-256 in lower case.

    Guarantee: an entry of another form, once it is on disk, would freeze the ledger for good.
    """
    if _HEXADECIMAL.fullmatch(digest) is None:
        raise StateError(
            f"expected a SHA-256 of {2 * DIGEST_BYTES} hexadecimal digits, got {len(digest)} "
            "characters that are none"
        )


class PackedDigests:
    """A map from SHA-256 digests to values of one length; takes that many bytes and 32, no more.

    Entries lie in up to 256 byte strings, by the digest's first byte: looking one up at a million
    entries searches 1/256 of them.

    Args:
        value_bytes: Length of each value; 0: a set.
    """

    def __init__(self, value_bytes: int = 0) -> None:
        self._each = DIGEST_BYTES + value_bytes
        self._parts: defaultdict[int, bytearray] = defaultdict(bytearray)

    def __contains__(self, digest: bytes) -> bool:
        """Whether it was put."""
        return self._at(digest) != _UNKNOWN

    def put(self, digest: bytes, value: bytes = b"") -> None:
        """Set, or replace, what `digest` leads to.

        Raises:
            ValueError: either is of another length.
        """
        if len(digest) != DIGEST_BYTES or len(digest) + len(value) != self._each:
            raise ValueError(
                f"expected {DIGEST_BYTES} and {self._each - DIGEST_BYTES} bytes, got {len(digest)} "
                f"and {len(value)}"
            )
        part, at = self._parts[digest[0]], self._at(digest)
        if at == _UNKNOWN:
            part += digest + value
        else:
            part[at + DIGEST_BYTES : at + self._each] = value

    def get(self, digest: bytes) -> bytes | None:
        """What `digest` leads to; None if it was not put."""
        at = self._at(digest)
        if at == _UNKNOWN:
            return None
        return bytes(self._parts[digest[0]][at + DIGEST_BYTES : at + self._each])

    def _at(self, digest: bytes) -> int:
        part = self._parts.get(digest[0], bytearray())
        at = part.find(digest)
        # Values are digests of a server's choosing: only what begins an entry is one.
        while at != _UNKNOWN and at % self._each:
            at = part.find(digest, at + 1)
        return at
