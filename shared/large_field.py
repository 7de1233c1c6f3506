"""One large field of a protobuf message, read and written where it lies instead of through copies.

A library's own parser copies every field, and its serialiser does so again: of a model that passes
through five processes that is most of the work. What is small of a message is still read by it.

Source: https://protobuf.dev/programming-guides/encoding (the wire format; groups are refused).
"""

from shared.errors import MessageError

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # wire types
_FIXED = {_EIGHT: 8, _FOUR: 4}
_LONGEST_VARINT = 10


def apart(message: bytes, number: int) -> tuple[bytes, memoryview]:
    r"""A message without its field `number`, and what that field holds, in place.

    Args:
        message: Serialised, as it came from somebody else.
        number: Of a field of bytes that is not repeated.

    Returns:
        What any parser reads as the rest of the message; the field, read-only, empty where there
        is none.

    Raises:
        MessageError: it is no message, or the field occurs twice.

    >>> rest, field = apart(joined(b"\x08\x01", 3, b"many bytes"), 3)
    >>> rest, bytes(field)
    (b'\x08\x01', b'many bytes')
    """
    whole = memoryview(message).toreadonly()
    rest, found, place = list[memoryview](), list[memoryview](), 0
    while place < len(whole):
        start = place
        tag, place = _varint(whole, place)
        end = _end(whole, tag & 7, place)
        if tag >> 3 == number and tag & 7 == _LENGTH:
            found.append(whole[_varint(whole, place)[1] : end])
        else:
            rest.append(whole[start:end])
        place = end
    if len(found) > 1:
        raise MessageError(f"expected the field {number} once, got it {len(found)} times")
    return b"".join(rest), found[0] if found else whole[:0]


def joined(rest: bytes, number: int, content: bytes | memoryview) -> bytes:
    """The inverse of `apart`: one copy of `content`; no field where it is empty."""
    return b"".join((heading(rest, number, len(content)), content))


def heading(rest: bytes, number: int, length: int) -> bytes:
    """What `joined` puts before a content of so many bytes."""
    return rest + (_varint_of(number << 3 | _LENGTH) + _varint_of(length) if length else b"")


def _end(whole: memoryview, kind: int, place: int) -> int:
    """Where the field ends whose content begins at `place`."""
    if kind == _VARINT:
        end = _varint(whole, place)[1]
    elif kind == _LENGTH:
        length, begin = _varint(whole, place)
        end = begin + length
    elif kind in _FIXED:
        end = place + _FIXED[kind]
    else:
        raise MessageError(f"expected a field of a known wire type, got {kind}")
    if end > len(whole):
        raise MessageError("expected a whole message, got a part of one")
    return end


def _varint(whole: memoryview, place: int) -> tuple[int, int]:
    """The number at `place`, and where it ends."""
    value = 0
    for position, byte in enumerate(whole[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, place + position + 1
    raise MessageError("expected a number of at most ten bytes, got no end of it")


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
