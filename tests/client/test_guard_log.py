"""What leaves a site stands in its audit log first; without the log nothing leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.identity import read_identity
from murmura.client_home import recorder
from shared.audit_check import PURPOSE, Flaw, verify
from shared.errors import StateError
from shared.signed_lines import signed_line
from tests.client.guarded_grid import GuardedSite
from tests.client.test_guard_refusals import made, training


def logged(folder: Path) -> GuardedSite:
    """A site whose events go into its own log."""
    site = made(folder)
    site.log = recorder(site.home)
    return site


def entries(site: GuardedSite) -> list[dict[str, Any]]:
    """What stands in the log."""
    return [json.loads(line) for line in site.home.audit.read_bytes().splitlines()]


def test_what_left_stands_in_the_log_with_its_hash(tmp_path: Path) -> None:
    """Signed by the site's identity."""
    site = logged(tmp_path)
    asked = training(site)
    site.answer(asked)
    [letter] = site.server.sent[asked.metadata.message_id]
    assert [entry["event"] for entry in entries(site)] == ["plan", "left"]
    assert entries(site)[-1]["detail"]["sha256"] == letter.digest
    assert verify(site.home.audit, read_identity(site.home.identity).public_key()).intact


def test_without_its_log_nothing_leaves_a_site(tmp_path: Path) -> None:
    """Neither an answer nor a refusal; the guard ends, and says why."""
    site = logged(tmp_path)
    site.home.audit.mkdir()
    with pytest.raises(StateError):
        site.answer(training(site))
    assert site.server.sent == {}


def test_a_log_that_was_changed_stops_the_site(tmp_path: Path) -> None:
    """Between two messages, by whatever process."""
    site = logged(tmp_path)
    first, second = training(site), training(site, attempt=3)
    site.answer(first)
    content = site.home.audit.read_bytes()
    site.home.audit.write_bytes(content.replace(b'"attempt":2', b'"attempt":1'))
    site.log = recorder(site.home)
    with pytest.raises(StateError, match="damaged"):
        site.answer(second)
    assert set(site.server.sent) == {first.metadata.message_id}


def changed(lines: list[bytes]) -> list[bytes]:
    """Another number of bytes."""
    return [lines[0], lines[1].replace(b'"bytes":', b'"bytes":1'), *lines[2:]]


def signed_anew(lines: list[bytes]) -> list[bytes]:
    """A line by another key."""
    entry = json.loads(lines[1])
    bare = {key: entry[key] for key in ("n", "time", "event", "detail", "previous")}
    _, line = signed_line(bare, Ed25519PrivateKey.generate(), purpose=PURPOSE)
    return [lines[0], line, *lines[2:]]


@pytest.mark.parametrize(
    ("edit", "flaw", "line"),
    [
        (changed, Flaw.CHANGED, 2),
        (signed_anew, Flaw.FOREIGN, 2),
        (lambda lines: [lines[0], *lines[2:]], Flaw.GAP, 2),
        (lambda lines: [lines[1], lines[0], *lines[2:]], Flaw.REORDERED, 1),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], Flaw.TRUNCATED, 4),
        (lambda lines: lines[:-1], Flaw.TRUNCATED, 4),
    ],
)
def test_no_edit_of_a_sites_log_passes(tmp_path: Path, edit: Any, flaw: Flaw, line: int) -> None:
    """Given a head that was noted elsewhere, also a cut."""
    site = logged(tmp_path)
    for attempt in (2, 3, 4):
        site.answer(training(site, attempt=attempt))
    key = read_identity(site.home.identity).public_key()
    head = verify(site.home.audit, key).head
    lines = site.home.audit.read_bytes().splitlines(keepends=True)
    site.home.audit.write_bytes(b"".join(edit(lines)))
    found = verify(site.home.audit, key, [head])
    assert (found.flaw, found.line) == (flaw, line)
