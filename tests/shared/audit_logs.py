"""Small audit logs for tests, and ways to write them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit_check import PURPOSE, AuditHead
from shared.audit_log import AuditLog
from shared.signed_lines import START, signed_line

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = KEY.public_key()
LEFT: dict[str, str | int] = {
    "kind": "train", "run": "run-1", "attempt": 1, "bytes": 9640, "sha256": "ab" * 32,
}  # fmt: skip


def opened(folder: Path) -> AuditLog:
    """The log in `folder`, at a clock that stands."""
    return AuditLog(folder / "audit.jsonl", KEY, clock=lambda: 1_800_000_000.25)


def written(folder: Path, entries: int = 4) -> list[bytes]:
    """The lines of a log with so many entries, which lies in `folder`."""
    log = opened(folder)
    for number in range(1, entries + 1):
        log.append("left", round=number, **LEFT)
    return lines_of(folder)


def lines_of(folder: Path) -> list[bytes]:
    """Of the log in `folder`, each with its newline."""
    return (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)


def history(
    entries: int, *, key: Ed25519PrivateKey = KEY, event: str = "revoked", previous: str = START
) -> tuple[list[bytes], AuditHead]:
    """A log's lines, and its head, without a file."""
    found, head = [], AuditHead(n=0, hash=previous)
    for number in range(1, entries + 1):
        content = {"n": number, "event": event, "detail": {}, "time": "", "previous": head.hash}
        entry, line = signed_line(content, key, purpose=PURPOSE)
        head = AuditHead.of(entry)
        found.append(line)
    return found, head
