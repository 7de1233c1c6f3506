"""The wire contract: typed messages <-> Flower RecordDict.

Whatever leaves a client is one of the reply classes below, and nothing else: no data set size, no
loss, no metric. The three exchanges of protocol version 1:

query.enrol  {} -> {protocol_version, client_id}
train        {protocol_version, round_number, attempt, plan, plan_digest, parameters}
             -> {protocol_version, round_number, attempt, plan_digest, update}
"""

from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from shared.errors import MessageError
from shared.parameters import FlatVector

PROTOCOL_VERSION = 1
_HEADER = "murmura"
_VECTORS = "murmura.vectors"
_Scalar = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A client's answer to `query.enrol`: its stable, opaque name."""

    client_id: str

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        return _encode({"client_id": self.client_id}, {})

    @classmethod
    def from_record(cls, record: RecordDict) -> "Enrolled":
        """Decode. Raises MessageError on a wrong version, type or missing field."""
        header = _header(record)
        return cls(client_id=_text(header, "client_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainInstruction:
    """What the server asks of a client in one round.

    Attributes:
        round_number: 1-based.
        attempt: 1-based; a round asked again with fresh randomness is another attempt.
        plan: Canonical JSON of the privacy plan, fixed before the first round.
        plan_digest: SHA-256 of `plan`, hexadecimal.
        parameters: Global parameters, shape (d,), float32.
    """

    round_number: int
    attempt: int
    plan: str
    plan_digest: str
    parameters: FlatVector = field(repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, _Scalar] = {
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan": self.plan,
            "plan_digest": self.plan_digest,
        }
        return _encode(header, {"parameters": self.parameters})

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainInstruction":
        """Decode. Raises MessageError on a wrong version, type or missing field."""
        header = _header(record)
        return cls(
            round_number=_whole(header, "round_number"),
            attempt=_whole(header, "attempt"),
            plan=_text(header, "plan"),
            plan_digest=_text(header, "plan_digest"),
            parameters=_vector(record, "parameters"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReply:
    """What a client sends back: its clipped or noised update, and to what it answers."""

    round_number: int
    attempt: int
    plan_digest: str
    # Secrecy: under client-level privacy this is one client's clipped update, before any noise.
    update: FlatVector = field(repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, _Scalar] = {
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan_digest": self.plan_digest,
        }
        return _encode(header, {"update": self.update})

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainReply":
        """Decode. Raises MessageError on a wrong version, type or missing field."""
        header = _header(record)
        return cls(
            round_number=_whole(header, "round_number"),
            attempt=_whole(header, "attempt"),
            plan_digest=_text(header, "plan_digest"),
            update=_vector(record, "update"),
        )


def enrol_request() -> RecordDict:
    """The empty question `query.enrol`."""
    return _encode({}, {})


def _encode(header: dict[str, _Scalar], vectors: dict[str, FlatVector]) -> RecordDict:
    record = RecordDict({_HEADER: ConfigRecord({"protocol_version": PROTOCOL_VERSION, **header})})
    if vectors:
        arrays = {name: Array(np.ascontiguousarray(v)) for name, v in vectors.items()}
        record[_VECTORS] = ArrayRecord(arrays)
    return record


def _header(record: RecordDict) -> ConfigRecord:
    header = record.config_records.get(_HEADER)
    if header is None:
        raise MessageError(f"expected a record {_HEADER!r}, got {sorted(record)}")
    version = header.get("protocol_version")
    if version != PROTOCOL_VERSION:
        raise MessageError(f"expected protocol version {PROTOCOL_VERSION}, got {version!r}")
    return header


def _text(header: ConfigRecord, name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise MessageError(f"expected a text in {name!r}, got {type(value).__name__}")
    return value


def _whole(header: ConfigRecord, name: str) -> int:
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MessageError(f"expected a positive whole number in {name!r}, got {value!r}")
    return value


def _vector(record: RecordDict, name: str) -> FlatVector:
    arrays = record.array_records.get(_VECTORS)
    if arrays is None or name not in arrays:
        raise MessageError(f"expected a vector {name!r}, got none")
    try:
        value = arrays[name].numpy()
    except (ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise MessageError(f"vector {name!r} cannot be decoded") from error
    if value.dtype != np.float32 or value.ndim != 1:
        raise MessageError(
            f"expected {name!r} flat and float32, got {value.ndim} axes of {value.dtype}"
        )
    return value
