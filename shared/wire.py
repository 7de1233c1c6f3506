"""How a typed message lies in a Flower RecordDict: one header, at most one record of vectors.

Decoding takes exactly the fields that are declared: one more is refused like one less, since
whatever leaves a client must be something that is accounted for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from shared.errors import MessageError
from shared.vectors import FlatVector

PROTOCOL_VERSION = 4
HEADER = "murmura"
_VECTORS = "murmura.vectors"
_VERSION = "protocol_version"
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
        arrays = {name: Array(np.ascontiguousarray(v)) for name, v in vectors.items()}
        for name, content in contents.items():
            arrays[name] = Array(np.frombuffer(content, dtype=np.uint8))
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
        raise MessageError(f"expected a record {HEADER!r}, got {sorted(record)}")
    version = header.get(_VERSION)
    if version != PROTOCOL_VERSION:
        raise MessageError(f"expected protocol version {PROTOCOL_VERSION}, got {version!r}")
    _exactly("fields", set(header) - {_VERSION}, names)
    _exactly("records", set(record), [HEADER, *([_VECTORS] if vectors else [])])
    if vectors:
        _exactly("vectors", set(record.array_records.get(_VECTORS, ())), vectors)
    return header


def text(header: ConfigRecord, name: str, *, may_be_empty: bool = False) -> str:
    """The text in `name`. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        raise MessageError(f"expected a text in {name!r}, got {type(value).__name__}")
    return value


def whole(header: ConfigRecord, name: str) -> int:
    """The positive whole number in `name`. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MessageError(f"expected a positive whole number in {name!r}, got {value!r}")
    return value


def number(header: ConfigRecord, name: str) -> float:
    """The finite fraction at least 0 in `name`. Raises MessageError on anything else."""
    value = header.get(name)
    if not isinstance(value, float) or not (math.isfinite(value) and value >= 0.0):
        raise MessageError(f"expected a finite fraction at least 0 in {name!r}, got {value!r}")
    return value


def decode_vector(record: RecordDict, name: str) -> FlatVector:
    """The flat float32 vector `name`. Raises MessageError on anything else."""
    return _flat(record, name, np.float32)


def decode_bytes(record: RecordDict, name: str) -> bytes:
    """The bytes in `name`. Raises MessageError on anything else."""
    return _flat(record, name, np.uint8).tobytes()


def _flat(record: RecordDict, name: str, kind: type[np.generic]) -> NDArray[Any]:
    arrays = record.array_records.get(_VECTORS)
    if arrays is None or name not in arrays:
        raise MessageError(f"expected a vector {name!r}, got none")
    try:
        value = arrays[name].numpy()
    except (ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise MessageError(f"vector {name!r} cannot be decoded") from error
    if value.dtype != kind or value.ndim != 1:
        raise MessageError(
            f"expected {name!r} flat and {kind.__name__}, got {value.ndim} axes of {value.dtype}"
        )
    flat: NDArray[Any] = value
    return flat


def _exactly(what: str, found: set[str], declared: Sequence[str]) -> None:
    if found != set(declared):
        raise MessageError(f"expected the {what} {sorted(declared)}, got {sorted(found)}")
