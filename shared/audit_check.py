"""Whether an audit log is what its owner wrote: the first broken line, and why it is broken.

Not found without help: entries cut off at the end, and a log that was thrown away as a whole. What
is left is a valid log. Only who wrote down a later head, at another place, sees that something is
missing: `verify(.., known=heads)`. And who holds the key can write another history from any entry
on; a head that was seen before shows that too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.errors import MessageError, StateError
from shared.signed_lines import START, Wrong, WrongLine, read_line, signs

PURPOSE = b"murmura audit log 1\n"
HEAD_FORMAT = "murmura-audit-head-1"
_MOST_TORN = 4096  # bytes of a line that a crash cut short; entries are shorter
_LONGEST = 2 * _MOST_TORN  # bytes of a line; that of a torn one holds it as base64


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """Where a log stood: a word that can be kept elsewhere and compared later.

    Attributes:
        n: Number of the last entry; 0 of an empty log.
        hash: Of that entry.
        signature: Of that entry, by which the log's owner stands to it; "" where only number and
            hash were written down.
    """

    n: int
    hash: str
    signature: str = ""

    def to_json(self) -> dict[str, Any]:
        """The head as it is kept."""
        return {"format": HEAD_FORMAT, **asdict(self)}

    @classmethod
    def parse(cls, text: str) -> "AuditHead":
        """A head from `to_json`, or from the text n:hash. Raises MessageError on anything else."""
        number, _, digest = text.strip().partition(":")
        short = number.isascii() and number.isdigit()
        content: dict[str, Any]
        try:
            content = {"n": int(number), "hash": digest} if short else json.loads(text)
            if not short and content.pop("format") != HEAD_FORMAT:
                raise ValueError
            head = cls(**content)
            valid = (type(head.n), type(head.signature)) == (int, str) and head.n >= 0
            if not valid or bytes.fromhex(head.hash).hex() != head.hash or len(head.hash) != 64:
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MessageError("expected a head of an audit log, got something else") from error
        return head

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether `key` stands to it."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return signs(self.hash, signature, key, purpose=PURPOSE)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "AuditHead":
        """The head of a log whose last entry this is."""
        return cls(n=entry["n"], hash=entry["hash"], signature=entry["signature"])


EMPTY = AuditHead(n=0, hash=START)


class Flaw(StrEnum):
    """Why a line is broken, or missing."""

    CHANGED = "changed"
    FOREIGN = "foreign signature"
    GAP = "gap"
    DUPLICATE = "duplicate number"
    REORDERED = "reordered"
    FORKED = "another history"
    TORN = "torn"
    TRUNCATED = "truncated"


_TOLD = {
    Flaw.CHANGED: "a line that is no entry, or not as it was written",
    Flaw.FOREIGN: "an entry that another key signed",
    Flaw.GAP: "an entry after the one that is missing here",
    Flaw.DUPLICATE: "an entry whose number was there before",
    Flaw.REORDERED: "an entry before the one that should come first",
    Flaw.FORKED: "an entry of another history of this log",
    Flaw.TORN: "a part of a line: of a crash, or cut off",
    Flaw.TRUNCATED: "the end, before an entry that was seen",
}


_OF_A_LINE = {Wrong.CHANGED: Flaw.CHANGED, Wrong.FOREIGN: Flaw.FOREIGN}


class BrokenLine(StateError):  # noqa: N818 - what it is about
    """A line is not the next entry.

    Attributes:
        flaw: Why.
    """

    def __init__(self, flaw: Flaw, number: int) -> None:
        super().__init__(f"expected entry {number}, got {_TOLD[flaw]}")
        self.flaw = flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `verify` found.

    Attributes:
        head: Where the intact part ends.
        line: 1-based number of the first broken or missing line; 0 for none.
        flaw: Why it is broken; None for none.
        text: The same in words; "" for none.
    """

    head: AuditHead
    line: int = 0
    flaw: Flaw | None = None
    text: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing is broken."""
        return self.flaw is None


def verify(path: Path, key: Ed25519PublicKey, known: Sequence[AuditHead] = ()) -> Verdict:
    """The first line of the log in `path` that is not what the owner of `key` wrote there.

    Args:
        path: The log.
        key: Of its owner.
        known: Heads that were seen before; without one a cut at the end is not found.

    Raises:
        StateError: `path` cannot be read, or a known head is signed by another key.
    """
    if any(head.signature and not head.signed_by(key) for head in known):
        raise StateError("expected a known head that this log's key signed, got another's")
    head = EMPTY
    try:
        with path.open("rb") as file:
            for line in lines(file):
                try:
                    head = _seen(AuditHead.of(next_entry(line, head, key)), known)
                except BrokenLine as error:
                    return _verdict(head, _told_apart(error.flaw, file, head, key), known)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    cut = any(witnessed.n > head.n for witnessed in known)
    return _verdict(head, Flaw.TRUNCATED, known) if cut else Verdict(head=head)


def next_entry(line: bytes, head: AuditHead, key: Ed25519PublicKey) -> dict[str, Any]:
    """The entry in `line`, newline included, if it is the one after `head`.

    Raises:
        BrokenLine: it is not. A gap may be a line that stands at another place.
    """
    number = head.n + 1
    if not line.endswith(b"\n"):
        raise BrokenLine(Flaw.TORN if len(line) <= _MOST_TORN else Flaw.CHANGED, number)
    try:
        entry = read_line(line[:-1], key, purpose=PURPOSE)
    except WrongLine as error:
        raise BrokenLine(_OF_A_LINE[error.wrong], number) from error
    found = entry.get("n")
    if type(found) is not int:
        raise BrokenLine(Flaw.CHANGED, number)
    if found != number:
        raise BrokenLine(Flaw.GAP if found > number else Flaw.DUPLICATE, number)
    if entry.get("previous") != head.hash:
        raise BrokenLine(Flaw.FORKED, number)
    return entry


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Each line with its newline; a last one without it, or what is too long to be a line."""
    while line := file.readline(_LONGEST):
        yield line
        if not line.endswith(b"\n"):
            return


def _seen(head: AuditHead, known: Sequence[AuditHead]) -> AuditHead:
    if any(witnessed.n == head.n and witnessed.hash != head.hash for witnessed in known):
        raise BrokenLine(Flaw.FORKED, head.n)
    return head


def _told_apart(flaw: Flaw, rest: BinaryIO, head: AuditHead, key: Ed25519PublicKey) -> Flaw:
    """A gap whose entry comes later is another order."""
    if flaw is not Flaw.GAP:
        return flaw
    for line in lines(rest):
        try:
            if read_line(line.rstrip(b"\n"), key, purpose=PURPOSE).get("n") == head.n + 1:
                return Flaw.REORDERED
        except WrongLine:
            continue
    return flaw


def _verdict(head: AuditHead, flaw: Flaw, known: Sequence[AuditHead]) -> Verdict:
    if flaw is Flaw.TORN and any(witnessed.n > head.n for witnessed in known):
        # What was seen was acknowledged: no crash takes it away.
        flaw = Flaw.TRUNCATED
    number = head.n + 1
    return Verdict(head=head, line=number, flaw=flaw, text=str(BrokenLine(flaw, number)))
