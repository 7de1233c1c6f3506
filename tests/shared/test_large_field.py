"""A large field is read and written as protobuf does it, and hostile bytes are refused."""

import pytest
from flwr.proto.message_pb2 import PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import MessageError
from shared.large_field import apart, joined

CONTENT = 4  # of a PushObjectRequest


@given(
    st.binary(max_size=300), st.text(max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**63)
)
def test_what_is_taken_apart_is_what_protobuf_reads(
    content: bytes, session: str, run: int, node: int
) -> None:
    """The rest without the field, the field, and the whole put together again."""
    whole = PushObjectRequest(
        node=Node(node_id=node),
        run_id=run,
        object_id="0f" * 32,
        object_content=content,
        session_id=session,
    )
    rest, found = apart(whole.SerializeToString(), CONTENT)
    assert bytes(found) == content
    assert found.readonly
    again = PushObjectRequest.FromString(joined(rest, CONTENT, found))
    assert again == whole
    whole.ClearField("object_content")
    assert PushObjectRequest.FromString(rest) == whole


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_protobuf_reads_them(content: bytes) -> None:
    """What is taken apart without an error and parsed is the message that protobuf would parse."""
    try:
        rest, found = apart(content, 3)
        parsed = PullObjectResponse.FromString(joined(rest, 3, found))
    except (MessageError, DecodeError):
        return
    assert parsed == PullObjectResponse.FromString(content)


def test_nothing_is_copied() -> None:
    """The field is a view of the message itself."""
    message = joined(b"\x08\x01", 3, b"x" * 1000)
    assert apart(message, 3)[1].obj is message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x1a\x05abc", "a part of one"),
        (b"\x1a", "no end of it"),
        (b"\xff" * 11, "no end of it"),
        (b"\x0b", "wire type"),
        (b"\x09\x00", "a part of one"),
        (b"\x1a\x01a\x1a\x01b", "once"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, why: str) -> None:
    """Cut short, endless, of a group, with the field twice."""
    with pytest.raises(MessageError, match=why):
        apart(message, 3)


def test_fields_of_every_wire_type_are_kept() -> None:
    """Numbers of four and eight bytes too, though Flower has none there."""
    rest = b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x08\x01" + b"\x12\x01a"
    for field in (b"field", b""):
        found, content = apart(joined(rest, 3, field), 3)
        assert (found, bytes(content)) == (rest, field)
