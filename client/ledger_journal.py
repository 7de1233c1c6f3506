"""The file of a ledger: append-only, hash-chained, signed, and witnessed by a second file.

Each line is one entry: number, hash of the entry before, content, its own hash, and the site's
Ed25519 signature of that hash. After an entry is on disk, its number and hash are written to the
witness, which may lie on another medium. So a journal that is shorter than its witness says was
truncated or replaced by an old copy, and is refused; nothing is repaired in silence.

What a crash may leave: (a) a torn last line that the witness does not know: it was never
acknowledged, so nothing was released for it; the next opening keeps its bytes in a `torn` entry.
(b) A whole last line that the witness does not know: it counts.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.durable import alone_with, append_durably, create_durably, replace_durably
from shared.errors import StateError
from shared.signed_lines import START, WrongLine, read_line, signed_line

JOURNAL = "journal.jsonl"
KEY = "key"
LOCK = "lock"
_SLOT = 100  # bytes of a witness slot: number, hash, check sum, newline
_MOST_TORN = 4096


class Journal:
    """Entries of one ledger, in a folder that only its owner may read.

    Args:
        folder: Holds journal, key and lock.
        witness: The second file; by default beside the folder, not in it.

    Raises:
        StateError: anything in it was changed, is missing, or is an old copy.
    """

    def __init__(self, folder: Path, witness: Path | None = None) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._witness = witness or witness_of(folder)
        self._key = _read_key(folder / KEY)
        self.forget()

    def forget(self) -> None:
        """Read and verify everything again next time."""
        self._size = self.count = 0
        self.head = self._previous = START
        self.signature = ""

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the site, hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    @contextmanager
    def locked(self) -> Iterator[list[dict[str, Any]]]:
        """Alone with the journal; yields the entries that are new since the last time."""
        with alone_with(self._folder / LOCK):
            yield self._read_new()

    def append(self, content: Mapping[str, Any]) -> None:
        """Put one entry on disk, journal first, witness next; only while `locked`.

        Raises:
            StateError: it cannot be written; nothing was granted.
        """
        entry, line = self._next(content)
        try:
            append_durably(self._path, line)
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from error
        self._accept(entry, len(line))
        self._write_witness()

    def _next(self, content: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        entry = {"number": self.count + 1, "previous": self.head, **content}
        return signed_line(entry, self._key)

    def _accept(self, entry: Mapping[str, Any], length: int) -> None:
        self.count, self.head = entry["number"], entry["hash"]
        self._previous, self.signature = entry["previous"], entry["signature"]
        self._size += length

    def _read_new(self) -> list[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                whole = os.fstat(file.fileno()).st_size
                file.seek(self._size)
                rest = file.read()
        except OSError as error:
            raise StateError(f"{self._path} cannot be read: {error.strerror}") from error
        if whole < self._size:
            raise StateError(f"{self._path} became shorter: expected {self._size} bytes at least")
        found = []
        while rest:
            line, newline, after = rest.partition(b"\n")
            entry = self._verified(line) if newline else None
            if entry is None:
                break
            self._accept(entry, len(line) + 1)
            found.append(entry)
            rest = after
        self._check_witness(torn=bool(rest))
        if b"\n" in rest:
            # An entry is one write that ends with its newline: no crash leaves a whole wrong line.
            raise StateError(
                f"{self._path} is damaged: expected nothing after entry {self.count}, got a line "
                "that is no entry. The ledger is frozen"
            )
        if rest:
            found.append(self._keep_torn(rest))
        return found

    def _verified(self, line: bytes) -> dict[str, Any] | None:
        """The entry, if it is the next one, whole and signed."""
        try:
            entry = read_line(line, self._key.public_key())
        except WrongLine:
            return None
        follows = (entry.get("number"), entry.get("previous")) == (self.count + 1, self.head)
        return entry if follows else None

    def _check_witness(self, *, torn: bool) -> None:
        number, digest = self._read_witness()
        if number > self.count:
            raise StateError(
                f"{self._path} is damaged or an old copy: expected {number} whole entries, got "
                f"{self.count}. The ledger is frozen; bring back the newest copy of the journal"
            )
        if self.count > number + 1 or (torn and self.count > number):
            raise StateError(
                f"{self._witness} is an old copy: expected about {self.count} entries, got "
                f"{number}. The ledger is frozen; bring back the newest copy of the witness"
            )
        # Guarantee: the entry that the witness knows is one of these, not of another history.
        if digest != (self.head if number == self.count else self._previous):
            raise StateError(
                f"{self._path} and {self._witness} tell of different entries {number}. The "
                "ledger is frozen"
            )
        if number < self.count:
            self._write_witness()

    def _keep_torn(self, rest: bytes) -> dict[str, Any]:
        """Replace a torn tail by an entry that keeps it, at once."""
        kept = base64.b64encode(rest[:_MOST_TORN]).decode()
        content = {"kind": "torn", "length": len(rest), "bytes": kept}
        entry, line = self._next(content)
        replace_durably(self._path, self._path.read_bytes()[: self._size] + line)
        self._accept(entry, len(line))
        self._write_witness()
        return entry

    def _read_witness(self) -> tuple[int, str]:
        try:
            content = self._witness.read_bytes()
        except OSError as error:
            raise StateError(
                f"the ledger's witness {self._witness} cannot be read: {error.strerror}. The "
                "ledger is frozen"
            ) from error
        slots = [_slot(content[:_SLOT]), _slot(content[_SLOT : 2 * _SLOT])]
        known = [slot for slot in slots if slot is not None]
        if not known:
            raise StateError(f"{self._witness} holds no valid entry. The ledger is frozen")
        return max(known)

    def _write_witness(self) -> None:
        slot = _written_slot(self.count, self.head)
        try:
            with self._witness.open("r+b") as file:
                # Two slots in turn: a torn write leaves the other.
                file.seek(_SLOT * (self.count % 2))
                file.write(slot)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StateError(f"{self._witness} cannot be written: {error.strerror}") from error


def create_journal(folder: Path, witness: Path | None = None) -> Journal:
    """A new, empty journal with a key of its own.

    Raises:
        StateError: there is one already, or the folder cannot be written.
    """
    path = witness or witness_of(folder)
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        # A crash in here leaves a key, or an empty witness, for which nothing was ever entered.
        unused = not path.exists() or path.read_bytes() in {b"", _written_slot(0, START)}
        if (folder / JOURNAL).exists() or not unused:
            raise StateError(f"expected no ledger in {folder}, got one, or its witness {path}")
        for rest in (folder / KEY, path):
            rest.unlink(missing_ok=True)
        create_durably(folder / KEY, Ed25519PrivateKey.generate().private_bytes_raw())
        create_durably(path, _written_slot(0, START))
        create_durably(folder / JOURNAL, b"")
    except OSError as error:
        raise StateError(f"no ledger can be made in {folder}: {error.strerror}") from error
    return Journal(folder, witness)


def witness_of(folder: Path) -> Path:
    """Where the witness lies if nothing else is said: beside the folder."""
    return folder.parent / f".{folder.name}.witness"


def _written_slot(count: int, head: str) -> bytes:
    text = f"{count:020d} {head}".encode()
    return text + b" " + hashlib.sha256(text).hexdigest()[:13].encode() + b"\n"


def _slot(content: bytes) -> tuple[int, str] | None:
    text, check = content[:85], content[86:99]
    if len(content) != _SLOT or hashlib.sha256(text).hexdigest()[:13].encode() != check:
        return None
    if content[85:86] != b" " or content[99:] != b"\n":
        return None
    return int(text[:20]), text[21:].decode()


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        # Guarantee: whoever can read the key can sign a ledger that never was.
        if path.stat().st_mode & 0o077:
            raise StateError(f"expected a key that its owner alone can read (0600) in {path}")
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except (OSError, ValueError) as error:
        # Secrecy: neither the key nor what stands in its place is shown.
        raise StateError(
            f"expected a ledger with its key in {path}, got none that can be read; "
            "`murmura ledger set-budget` makes a ledger"
        ) from error
