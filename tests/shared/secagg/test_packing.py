"""Messages of secure aggregation as bytes: what was sent is read, anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MessageError
from shared.secagg import packing
from tests.aggregation_rounds import Clients, answered, clients, vectors

FIVE: Clients = clients(5)
CONTEXT = FIVE.context()
MASKED = FIVE.masked(CONTEXT, vectors(FIVE.names, 7))
SERVER = FIVE.collected(CONTEXT, MASKED, FIVE.names[:0])
SEALED = SERVER.collected.graph.sealed
HELPED: Clients = clients(5, helpers=3)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_fields_are_what_was_joined(parts: list[bytes]) -> None:
    """And no other number of them."""
    assert packing.fields(packing.joined(*parts), len(parts)) == parts
    for other in {len(parts) + 1, max(0, len(parts) - 1)} - {len(parts)}:
        with pytest.raises(MessageError):
            packing.fields(packing.joined(*parts), other)


def test_a_field_that_is_cut_off_is_refused() -> None:
    """Nothing is guessed."""
    with pytest.raises(MessageError):
        packing.fields(packing.joined(b"abc")[:-1], 1)


def test_every_message_comes_back() -> None:
    """Keys, context, upload, request and answer."""
    assert packing.keys_from_bytes(packing.keys_to_bytes(FIVE.keys)) == FIVE.keys
    assert packing.context_from_bytes(packing.context_to_bytes(CONTEXT)) == CONTEXT
    upload = MASKED[FIVE.names[0]].upload
    sent = packing.upload_to_bytes(upload, SEALED)
    assert packing.upload_from_bytes(sent, SEALED) == upload
    for member in SERVER.collected.graph.committee:
        request = SERVER.request(member)
        assert bool(request.ciphertexts) is (member in SEALED)
        assert packing.request_from_bytes(packing.request_to_bytes(request)) == request
    answered(SERVER, MASKED)
    for answer in SERVER.answers.values():
        assert packing.answer_from_bytes(packing.answer_to_bytes(answer)) == answer


def test_messages_of_helpers_come_back() -> None:
    """An upload without ciphertexts, and an answer that is a sum of masks."""
    masked = HELPED.masked(HELPED.context(), vectors(HELPED.names, 7))
    upload = masked[HELPED.names[0]].upload
    assert packing.upload_from_bytes(packing.upload_to_bytes(upload, ()), ()) == upload
    server = HELPED.collected(HELPED.context(), masked)
    member = HELPED.helpers[0]
    _, answer = masked[member].unmask(server.request(member))
    assert answer.masks
    assert packing.answer_from_bytes(packing.answer_to_bytes(answer)) == answer


@pytest.mark.parametrize(
    "content",
    [b"1", b"\xff", b'{"a": 1}', b"[1]", b"[" * 100_000],
    ids=["a number", "no text", "an object", "not names", "deep"],
)
def test_a_cohort_that_is_none_is_refused(content: bytes) -> None:
    """As JSON, and as names."""
    parts = packing.fields(packing.context_to_bytes(CONTEXT), 7)
    with pytest.raises(MessageError):
        packing.context_from_bytes(packing.joined(*parts[:6], content))


@pytest.mark.parametrize("content", [b"[1, 2]", b"[1, 2, true]", b"{}", b'["1", 2, 3]'])
def test_numbers_that_are_none_are_refused(content: bytes) -> None:
    """Three whole ones."""
    parts = packing.fields(packing.context_to_bytes(CONTEXT), 7)
    with pytest.raises(MessageError):
        packing.context_from_bytes(packing.joined(*parts[:5], content, parts[6]))


def test_a_name_that_is_no_text_is_refused() -> None:
    """Of a run, for one."""
    parts = packing.fields(packing.context_to_bytes(CONTEXT), 7)
    with pytest.raises(MessageError):
        packing.context_from_bytes(packing.joined(b"\xff", *parts[1:]))


def test_entries_of_another_length_are_refused() -> None:
    """Keys, and ciphertexts that cannot be cut alike."""
    names, public, signatures = packing.fields(packing.keys_to_bytes(FIVE.keys), 3)
    with pytest.raises(MessageError):
        packing.keys_from_bytes(packing.joined(names, public[:-1], signatures))
    sent = packing.upload_to_bytes(MASKED[FIVE.names[0]].upload, SEALED)
    parts = packing.fields(sent, 7)
    content = packing.joined(*parts[:6], parts[6] + b"x")
    with pytest.raises(MessageError):
        packing.upload_from_bytes(content, SEALED)
    with pytest.raises(MessageError):
        packing.upload_from_bytes(sent, ())
