"""Whatever is done to a log is found, with its line; or is a cut, which a known head finds."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit_check import EMPTY, PURPOSE, AuditHead, Flaw, Verdict, verify
from shared.errors import MessageError, StateError
from shared.signed_lines import signed_line
from tests.shared.audit_logs import KEY, PUBLIC, STRANGER, history

LINES, HEAD = history(5)
WHOLE = b"".join(LINES)


def checked(folder: Path, content: bytes, *known: AuditHead) -> Verdict:
    """What is found of a log with this content."""
    path = folder / "log"
    path.write_bytes(content)
    return verify(path, PUBLIC, known)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples."""
    return tmp_path_factory.mktemp("logs")


def test_an_untouched_log_is_intact(folder: Path) -> None:
    """With its own heads, of now and of before."""
    heads = [history(count)[1] for count in range(6)]
    assert checked(folder, WHOLE, *heads) == Verdict(head=HEAD)
    assert checked(folder, WHOLE).intact
    assert checked(folder, b"") == Verdict(head=EMPTY)


@pytest.mark.no_cover
def test_every_changed_bit_is_found_in_its_line(folder: Path) -> None:
    """Of every byte of every line; its newline joins it with the next."""
    for place in range(len(WHOLE)):
        for bit in (1 << (place % 8), 0xFF):
            changed = bytearray(WHOLE)
            changed[place] ^= bit
            found = checked(folder, bytes(changed))
            assert not found.intact
            assert found.line == WHOLE.count(b"\n", 0, place) + 1
            assert found.head.n == found.line - 1


@pytest.mark.no_cover
def test_every_cut_is_found_or_is_one_that_a_head_finds(folder: Path) -> None:
    """In a line without a head too; between two lines with a later head alone."""
    for length in range(len(WHOLE)):
        cut = WHOLE[:length]
        found, against = checked(folder, cut), checked(folder, cut, HEAD)
        whole = cut.count(b"\n")
        between = cut == b"" or cut.endswith(b"\n")
        assert found.intact is between
        assert found.flaw in {None, Flaw.TORN}
        assert (against.flaw, against.line, against.head.n) == (Flaw.TRUNCATED, whole + 1, whole)


edits = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, len(WHOLE)), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("replace"), st.integers(0, len(WHOLE) - 1), st.binary(max_size=40)),
    st.tuples(st.just("repeat"), st.integers(0, len(WHOLE) - 1), st.integers(1, 900)),
    st.tuples(st.just("remove"), st.integers(0, len(WHOLE) - 1), st.integers(1, 900)),
)


@given(st.lists(edits, min_size=1, max_size=3))
def test_any_tampering_is_found_or_is_a_cut(
    folder: Path, made: list[tuple[str, int, object]]
) -> None:
    """Inserted, replaced, repeated and removed bytes, at several places."""
    content = WHOLE
    for kind, place, what in made:
        if isinstance(what, bytes):
            rest = place if kind == "insert" else place + len(what)
            content = content[:place] + what + content[rest:]
        elif isinstance(what, int):
            part = content[place : place + what]
            content = (
                content[:place] + (part * 2 if kind == "repeat" else b"") + content[place + what :]
            )
    if content == WHOLE:
        return
    found = checked(folder, content)
    assert not found.intact or WHOLE.startswith(content)
    assert not checked(folder, content, HEAD).intact


@given(st.permutations(range(5)), st.integers(1, 5), st.booleans())
def test_lines_in_another_order_left_out_or_twice_are_named(
    folder: Path, order: list[int], kept: int, twice: bool
) -> None:
    """By the first place that is not as it should be, and why."""
    places = [*order[:kept], *(order[:1] if twice else [])]
    found = checked(folder, b"".join(LINES[place] for place in places))
    right = next((i for i, place in enumerate(places) if place != i), len(places))
    if right == len(places):
        assert found.intact
        return
    assert found.line == right + 1
    got = places[right]
    if got < right:
        assert found.flaw is Flaw.DUPLICATE
    else:
        later = right in places[right:]
        assert found.flaw is (Flaw.REORDERED if later else Flaw.GAP)
    assert found.text.startswith(f"expected entry {right + 1}, got ")


def test_a_gap_is_told_from_another_order_past_what_is_broken(folder: Path) -> None:
    """Lines that are none are passed over in the search for the missing one."""
    assert checked(folder, LINES[0] + LINES[2] + b"{}\n" + LINES[1]).flaw is Flaw.REORDERED
    for rest in (b"{}\n", b"{}"):
        assert checked(folder, LINES[0] + LINES[2] + rest).flaw is Flaw.GAP


def test_another_key_is_foreign(folder: Path) -> None:
    """A log that somebody else wrote, and one line of it."""
    others, head = history(5, key=STRANGER)
    assert checked(folder, b"".join(others)).flaw is Flaw.FOREIGN
    mixed = [*LINES[:3], others[3]]
    assert (checked(folder, b"".join(mixed)).flaw, checked(folder, b"".join(mixed)).line) == (
        Flaw.FOREIGN,
        4,
    )
    with pytest.raises(StateError, match="this log's key signed"):
        checked(folder, WHOLE, head)


def test_another_history_by_the_owner_is_seen_where_it_parts_and_by_a_head(folder: Path) -> None:
    """Entries of two histories do not follow each other; a whole other one needs a head."""
    others, _ = history(5, event="approved")
    assert checked(folder, b"".join([*LINES[:2], *others[2:]])).flaw is Flaw.FORKED
    assert checked(folder, b"".join(others)).intact
    third = history(3)[1]
    found = checked(folder, b"".join(others), third)
    assert (found.flaw, found.line, found.head.n) == (Flaw.FORKED, 3, 2)
    assert checked(folder, b"".join(others), AuditHead(n=3, hash=third.hash)).flaw is Flaw.FORKED


def test_what_the_key_signed_but_is_no_entry_is_changed(folder: Path) -> None:
    """A number that is none."""
    for number in (None, True, "1", 1.0):
        line = signed_line({"n": number, "previous": EMPTY.hash}, KEY, purpose=PURPOSE)[1]
        assert checked(folder, line).flaw is Flaw.CHANGED


def test_a_line_without_an_end_is_not_read_to_its_end(folder: Path) -> None:
    """A log of one huge line is broken at once; a short one may be of a crash."""
    assert checked(folder, LINES[0] + b"x" * 10**6).flaw is Flaw.CHANGED
    assert checked(folder, LINES[0] + b"x" * 4096).flaw is Flaw.TORN
    with pytest.raises(StateError, match="cannot be read"):
        verify(folder / "nowhere", PUBLIC)


def test_a_head_is_kept_as_json_or_as_number_and_hash() -> None:
    """Both ways; signed, its owner stands to it."""
    assert AuditHead.parse(json.dumps(HEAD.to_json())) == HEAD
    assert AuditHead.parse(f" {HEAD.n}:{HEAD.hash}\n") == AuditHead(n=5, hash=HEAD.hash)
    assert HEAD.signed_by(PUBLIC)
    assert not HEAD.signed_by(STRANGER.public_key())
    assert not AuditHead(n=5, hash=HEAD.hash, signature="no").signed_by(PUBLIC)


@pytest.mark.parametrize(
    "text",
    ["", "5", "5:", "5:00", f"-1:{HEAD.hash}", f"5:{HEAD.hash.upper()}", "{}", "[]", "[" * 10_000,
     json.dumps(HEAD.to_json() | {"format": "another"}),
     json.dumps(HEAD.to_json() | {"n": "5"}), json.dumps(HEAD.to_json() | {"more": 1}),
     json.dumps(HEAD.to_json() | {"n": -1}), json.dumps(HEAD.to_json() | {"signature": 5})],
)  # fmt: skip
def test_anything_else_is_no_head(text: str) -> None:
    """Refused by the error of a message."""
    with pytest.raises(MessageError):
        AuditHead.parse(text)
