"""A line is accepted in its one spelling, with its own hash, of its own key; nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.signed_lines import Wrong, WrongLine, read_line, signed_line, signs
from tests.shared.audit_logs import KEY, PUBLIC, STRANGER

values = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.lists(st.integers()))
entries = st.dictionaries(st.text().filter(lambda name: name not in {"hash", "signature"}), values)


@given(entries, st.binary(max_size=5))
def test_what_is_signed_is_read_again(entry: dict[str, object], purpose: bytes) -> None:
    """With hash and signature; the line has one newline, at its end."""
    whole, line = signed_line(entry, KEY, purpose=purpose)
    assert line.count(b"\n") == 1
    assert read_line(line.rstrip(b"\n"), PUBLIC, purpose=purpose) == whole
    assert {name: whole[name] for name in entry} == entry


@given(entries, st.data())
def test_any_other_byte_is_found(entry: dict[str, object], data: st.DataObject) -> None:
    """Whatever it becomes, wherever it stands; left out, or written twice, too."""
    line = signed_line(entry, KEY)[1][:-1]
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    head, tail = line[:place], line[place + 1 :]
    for changed in (head + bytes([other]) + tail, head + tail, head + line[place:][:1] * 2 + tail):
        if changed != line:
            with pytest.raises(WrongLine):
                read_line(changed, PUBLIC)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"5", b'{"hash":"00"}', b"[" * 10_000, b"\xff", b'{"n":1}' * 2]
)
def test_what_is_no_entry_is_changed(line: bytes) -> None:
    """Whatever JSON, or other thing, it is."""
    with pytest.raises(WrongLine) as caught:
        read_line(line, PUBLIC)
    assert caught.value.wrong is Wrong.CHANGED


def test_another_key_or_purpose_is_foreign() -> None:
    """The hash is right; the signature is of something else."""
    for line in (signed_line({"n": 1}, STRANGER)[1], signed_line({"n": 1}, KEY, purpose=b"x")[1]):
        with pytest.raises(WrongLine) as caught:
            read_line(line[:-1], PUBLIC)
        assert caught.value.wrong is Wrong.FOREIGN
    assert not signs("no hash", b"", PUBLIC)


def test_there_is_one_spelling_of_a_signature() -> None:
    """Capitals and blanks mean the same bytes, and are not what was written."""
    whole, line = signed_line({"n": 1}, KEY)
    for other in (whole["signature"].upper(), " " + whole["signature"]):
        spelled = json.dumps(whole | {"signature": other}, sort_keys=True, separators=(",", ":"))
        assert len(spelled) >= len(line) - 1
        with pytest.raises(WrongLine):
            read_line(spelled.encode(), PUBLIC)
