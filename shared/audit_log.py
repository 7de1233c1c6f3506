"""A home's audit log: append-only JSON lines, chained by hashes, each signed by the home's key.

Each line is {n, time, event, detail, previous, hash, signature}. An entry is on disk when `append`
returns; two processes may share a log. Any changed byte of it is found (`shared/audit_check.py`).

What a crash may leave is a part of a last line, which was never acknowledged. The next opening
keeps its bytes in an entry `torn`: cutting a line short to have it "repaired" hides nothing.
"""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit_check import (
    EMPTY,
    PURPOSE,
    AuditHead,
    BrokenLine,
    Flaw,
    lines,
    next_entry,
)
from shared.audit_events import Detail, check
from shared.durable import alone_with, append_durably, create_durably, replace_durably
from shared.errors import StateError
from shared.signed_lines import signed_line

_TORN = "torn"  # an event of the log itself, which nobody else may enter


class AuditLog:
    """The log that this process appends to.

    Args:
        path: The file; made by the first entry, in a folder that is there.
        key: Of the home; whoever has it can write another history.
        clock: Seconds since 1970.

    Raises:
        StateError: what is there is damaged, or another key's. Nothing is appended to it, and
            nothing is mended but a last line that a crash cut short.
    """

    def __init__(
        self, path: Path, key: Ed25519PrivateKey, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")
        self._key = key
        self._clock = clock
        self._size = 0
        self.head = EMPTY
        with self._alone():
            self._catch_up()

    def append(self, event: str, /, **detail: str | int) -> None:
        """One entry is on disk when this returns; `head` says where the log stands.

        Raises:
            ConfigurationError: the event, or a field of it, is none that a log may hold.
            StateError: it cannot be written, or the log was damaged since the last entry.
        """
        check(event, detail)
        with self._alone():
            self._catch_up()
            entry, line = self._next(event, detail)
            append_durably(self._path, line)
            self._accept(entry, len(line))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with alone_with(self._lock):
                yield
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from error

    def _next(self, event: str, detail: Detail) -> tuple[dict[str, Any], bytes]:
        when = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        entry = {
            "n": self.head.n + 1,
            "time": when,
            "event": event,
            "detail": dict(detail),
            "previous": self.head.hash,
        }
        return signed_line(entry, self._key, purpose=PURPOSE)

    def _accept(self, entry: dict[str, Any], length: int) -> None:
        self.head = AuditHead.of(entry)
        self._size += length

    def _catch_up(self) -> None:
        """Take in what other processes wrote, and what a crash left."""
        if not self._path.exists() and self.head == EMPTY:
            create_durably(self._path, b"")
        with self._path.open("rb") as file:
            length = file.seek(0, 2)
            if length < self._size:
                raise StateError(
                    f"{self._path} became shorter: expected {self._size} bytes at least"
                )
            file.seek(self._size)
            for line in lines(file):
                try:
                    entry = next_entry(line, self.head, self._key.public_key())
                except BrokenLine as error:
                    if error.flaw is not Flaw.TORN:
                        raise self._damaged(str(error)) from error
                    self._keep_torn(line)
                    return
                self._accept(entry, len(line))

    def _damaged(self, why: str) -> StateError:
        return StateError(
            f"{self._path} is damaged after entry {self.head.n}: {why}; nothing is appended to it"
        )

    def _keep_torn(self, rest: bytes) -> None:
        """Replace what is left of a line by an entry that keeps it, at once."""
        detail: Detail = {"bytes": len(rest), "content": base64.b64encode(rest).decode()}
        entry, line = self._next(_TORN, detail)
        replace_durably(self._path, self._path.read_bytes()[: self._size] + line)
        self._accept(entry, len(line))
