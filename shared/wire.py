"""How a typed message lies in a Flower RecordDict: one header, at most one record of vectors.

Decoding takes exactly the fields that are declared: one more is refused like one less, since
whatever leaves a client must be something that is accounted for. Nothing is allocated that a peer
merely announces: a vector is read in place, and only if its bytes are as many as its form says.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from shared.errors import MessageError
from shared.flower_arrays import array_of
from shared.vectors import FlatVector

PROTOCOL_VERSION = 6
HEADER = "murmura"
_VECTORS = "murmura.vectors"
_VERSION = "protocol_version"
_LONGEST_TEXT = 1 << 16
_SHOWN, _MOST_NAMED = 40, 12  # characters of a peer's name for something; how many of them
_LARGEST = 2**64
_NUMPY = "numpy.ndarray"
# NumPy's own header of a flat array, format 1.0: magic, length of what follows, form, padding.
_PREFIX = b"\x93NUMPY\x01\x00"
_FORM = re.compile(
    rb"\{'descr': '(<f4|\|u1)', 'fortran_order': False, 'shape': \((\d{1,18}),\), \} *\n"
)
_LONGEST_FORM = 256
_DESCRIPTIONS: dict[type[np.generic], bytes] = {np.float32: b"<f4", np.uint8: b"|u1"}
Scalar = str | int | float


def encode(
    header: Mapping[str, Scalar],
    vectors: Mapping[str, FlatVector],
    *,
    contents: Mapping[str, bytes] | None = None,
) -> RecordDict:
    """The record of a message; `contents` are bytes, which travel as vectors of bytes."""
    contents = contents or {}
    record = RecordDict({HEADER: ConfigRecord({_VERSION: PROTOCOL_VERSION, **header})})
    if vectors or contents:
        arrays = {name: array_of(vector) for name, vector in vectors.items()}
        for name, content in contents.items():
            arrays[name] = array_of(np.frombuffer(content, dtype=np.uint8))
        record[_VECTORS] = ArrayRecord(arrays)
    return record


def decode_header(
    record: RecordDict, names: Sequence[str], *, vectors: Sequence[str] = ()
) -> ConfigRecord:
    """The header, if the message has exactly these fields and vectors.

    Raises:
        MessageError: another version, a field missing, or one that is not declared.
    """
    header = record.config_records.get(HEADER)
    if header is None:
        raise MessageError(f"expected a record {HEADER!r}, got {_names(record)}")
    version = header.get(_VERSION)
    if type(version) is not int or version != PROTOCOL_VERSION:
        raise MessageError(f"expected protocol version {PROTOCOL_VERSION}, got {_brief(version)}")
    _exactly("fields", set(header) - {_VERSION}, names)
    _exactly("records", set(record), [HEADER, *([_VECTORS] if vectors else [])])
    if vectors:
        _exactly("vectors", set(record.array_records.get(_VECTORS, ())), vectors)
    return header


def text(header: ConfigRecord, name: str, *, may_be_empty: bool = False) -> str:
    """The text in `name`, of at most 65,536 characters. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, str) or not (value or may_be_empty) or len(value) > _LONGEST_TEXT:
        raise MessageError(f"expected a text in {name!r}, got {_brief(value)}")
    return value


def figures_or_none(header: ConfigRecord, name: str, count: int) -> str:
    """The `count` hexadecimal digits in `name`, or "". Raises MessageError on anything else."""
    value = text(header, name, may_be_empty=True)
    if value and not (len(value) == count and re.fullmatch("[0-9a-f]+", value)):
        raise MessageError(f"expected {count} hexadecimal digits in {name!r}, got other text")
    return value


def whole(header: ConfigRecord, name: str) -> int:
    """The positive whole number in `name`. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MessageError(f"expected a positive whole number in {name!r}, got {_brief(value)}")
    return value


def number(header: ConfigRecord, name: str) -> float:
    """The finite fraction at least 0 in `name`. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, float) or not (math.isfinite(value) and value >= 0.0):
        raise MessageError(
            f"expected a finite fraction at least 0 in {name!r}, got {_brief(value)}"
        )
    return value


def decode_vector(record: RecordDict, name: str) -> FlatVector:
    """The flat float32 vector `name`, in place and read-only. Raises MessageError otherwise."""
    return np.frombuffer(_content(record, name, np.float32), dtype="<f4")


def decode_bytes(record: RecordDict, name: str) -> bytes:
    """The bytes in `name`. Raises MessageError on anything else."""
    return bytes(_content(record, name, np.uint8))


def _content(record: RecordDict, name: str, kind: type[np.generic]) -> memoryview:
    """The numbers of the flat array `name`, as they lie in the message.

    Not by `np.load`: that reserves memory for whatever shape the header claims, and takes zip
    archives too.
    """
    arrays = record.array_records.get(_VECTORS)
    if arrays is None or name not in arrays:
        raise MessageError(f"expected a vector {name!r}, got none")
    array, width = arrays[name], np.dtype(kind).itemsize
    data = array.data
    start = len(_PREFIX) + 2
    end = start + int.from_bytes(data[len(_PREFIX) : start], "little")
    form = _FORM.fullmatch(data[start:end]) if end - start <= _LONGEST_FORM else None
    if array.stype != _NUMPY or not data.startswith(_PREFIX) or form is None:
        raise MessageError(f"expected {name!r} flat and {kind.__name__}, got another form")
    if form[1] != _DESCRIPTIONS[kind]:
        raise MessageError(f"expected {name!r} of {kind.__name__}, got another kind of number")
    if end + int(form[2]) * width != len(data):
        raise MessageError(f"expected {name!r} as long as it says, got {len(data)} bytes")
    return memoryview(data)[end:].toreadonly()


def _exactly(what: str, found: Collection[str], declared: Sequence[str]) -> None:
    if set(found) != set(declared):
        raise MessageError(f"expected the {what} {sorted(declared)}, got {_names(found)}")


def _names(found: Collection[str]) -> str:
    """What a peer calls things: a few of them, cut short, since they may be long and many."""
    few = [name[:_SHOWN] for name in sorted(islice(found, _MOST_NAMED))]
    return f"{few}" if len(found) <= _MOST_NAMED else f"{few} and {len(found) - _MOST_NAMED} more"


def _brief(value: object) -> str:
    """A number, or what else it is: its text may be long, and is another party's."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _LARGEST):
        return repr(value)
    return type(value).__name__
