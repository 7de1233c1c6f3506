"""The ledger's file: append-only lines, each chained to the one before it, signed and fsync'd.

Three steps make an entry: the whole line is announced in the witness, a small file in another
folder (replaced atomically, fsync'd); it is appended to the journal; the journal is fsync'd. So
the witness always holds the newest line, and the journal ends with it or lacks (part of) it:

- it lacks (part of) it: a crash between the steps. The announced line is appended on the next
  opening, with a line in the log: what was announced is charged.
- anything else: an old copy, a cut, a flipped bit, another order. Refused, never repaired.

What this cannot see: journal and witness both replaced by copies of the same earlier moment.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.ledger_keys import SigningKey, is_signed
from shared.errors import StateError

_LOGGER = logging.getLogger("murmura.ledger")
_FIRST = "0" * 64
_REMEDY = (
    "the ledger is frozen: nothing is released from it. If you have the newest copy of journal and "
    "witness, put both back; otherwise this budget counts as spent, and a new ledger is for new "
    "records only"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: `count` from 1, hashes and signature hexadecimal, `body` what it says."""

    count: int
    previous: str
    body: Mapping[str, Any]
    hash: str
    signature: str
    line: bytes

    @classmethod
    def make(cls, body: Mapping[str, Any], before: "Entry | None", key: SigningKey) -> "Entry":
        """The signed entry that follows `before`."""
        count = before.count + 1 if before else 1
        content = {"body": body, "count": count, "previous": before.hash if before else _FIRST}
        digest = hashlib.sha256(_canonical(content)).hexdigest()
        signature = key.sign(digest)
        line = _canonical(content | {"hash": digest, "signature": signature}) + b"\n"
        return cls(**content, hash=digest, signature=signature, line=line)  # type: ignore[arg-type]

    @classmethod
    def parse(cls, line: bytes, before: "Entry | None", public_hex: str | None) -> "Entry":
        """The entry in `line`, if it is whole, follows `before`, and is signed by the key.

        Args:
            line: With its line end.
            before: The entry before it; None: it is the first.
            public_hex: The ledger's key; None: the one that the first entry names.

        Raises:
            StateError: anything else; names the entry.
        """
        count = before.count + 1 if before else 1
        try:
            content = json.loads(line)
            # Guarantee: exactly one text per entry, so each of its bits is covered.
            if _canonical(content) + b"\n" != line:
                raise ValueError("not the canonical form")
            digest, signature = content.pop("hash"), content.pop("signature")
            public_hex = public_hex or content["body"]["public_key"]
            expected = (count, before.hash if before else _FIRST)
            if (content["count"], content["previous"]) != expected:
                raise ValueError("does not follow the entry before it")
            if hashlib.sha256(_canonical(content)).hexdigest() != digest:
                raise ValueError("wrong hash")
            if not is_signed(str(public_hex), digest, signature):
                raise ValueError("wrong signature")
            return cls(**content, hash=digest, signature=signature, line=line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(
                f"entry {count} of the ledger is damaged ({error}); {_REMEDY}"
            ) from error


class Journal:
    """The file of a ledger, its lock and its witness.

    Args:
        folder: Holds journal.jsonl, lock and key.
        witness: The file that holds the newest line; best on another disk.
    """

    def __init__(self, folder: Path, witness: Path) -> None:
        self.path, self.witness = folder / "journal.jsonl", witness
        self._lock = folder / "lock"
        self._known: tuple[int, bytes] | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it no other process, thread or Ledger object reads or writes this ledger.

        Raises:
            StateError: the folder cannot be written, or a write within failed.
        """
        try:
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            self._known = None
            raise StateError(
                f"the ledger cannot be read or written, so nothing is granted: {error}"
            ) from error

    def changed(self) -> bool:
        """Whether the files are not as this object left or read them."""
        return self._known != (self._size(), self._announced())

    def read(self) -> list[Entry]:
        """All entries, verified; an announced line that is missing at the end is appended first.

        Raises:
            StateError: damage, or a journal that is not the witness's.
        """
        announced = self._announced()
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, rest = content.split(b"\n")
        entries: list[Entry] = []
        for line in lines:
            before = entries[-1] if entries else None
            entries.append(Entry.parse(line + b"\n", before, _public(entries)))
        last = entries[-1] if entries else None
        if last is None or rest or last.line != announced:
            entries.append(self._complete(last, rest, announced, _public(entries)))
        self._known = (self._size(), announced)
        return entries

    def append(self, entry: Entry) -> None:
        """Make `entry` durable. Raises OSError; it may then be announced, and is charged."""
        self._known = None
        self._announce(entry.line)
        # Guarantee: on disk before the caller hears of it, and so before private data are read.
        self._write(entry.line)
        self._known = (self._size(), entry.line)

    def _complete(
        self, last: Entry | None, rest: bytes, announced: bytes, public_hex: str | None
    ) -> Entry:
        try:
            entry = Entry.parse(announced, last, public_hex)
        except StateError as error:
            raise StateError(
                f"the journal ends with entry {last.count if last else 0}, which is not the newest "
                f"that {self.witness} knows: an old copy, or one of the two is damaged; {_REMEDY}"
            ) from error
        if not announced.startswith(rest):
            raise StateError(f"entry {entry.count} of the ledger is damaged; {_REMEDY}")
        _LOGGER.warning("ledger entry %d was announced but not written; it stands", entry.count)
        self._write(announced[len(rest) :])
        return entry

    def _announce(self, line: bytes) -> None:
        new = self.witness.with_name(self.witness.name + ".new")
        _write_durably(new, line, os.O_TRUNC)
        new.replace(self.witness)
        _sync_folder(self.witness.parent)

    def _write(self, line: bytes) -> None:
        fresh = not self.path.exists()
        _write_durably(self.path, line, os.O_APPEND)
        if fresh:
            _sync_folder(self.path.parent)

    def _announced(self) -> bytes:
        try:
            return self.witness.read_bytes()
        except FileNotFoundError as error:
            raise StateError(
                f"the ledger's witness {self.witness} is missing; {_REMEDY}"
            ) from error

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def _public(entries: list[Entry]) -> str | None:
    return str(entries[0].body["public_key"]) if entries else None


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _write_durably(path: Path, content: bytes, flag: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        while content:
            content = content[os.write(handle, content) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
