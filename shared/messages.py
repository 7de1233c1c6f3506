"""The wire contract: typed messages <-> Flower RecordDict.

Whatever leaves a client is one of the reply classes below, and nothing else: no data set size, no
loss, no metric. The exchanges of protocol version 6:

query.enrol  {} -> {protocol_version, client_id, enforced_by, announcement}
train        {.., round_number, attempt, plan, plan_digest, clipping_norm, parameters,
              normalisation, aggregation}
             -> {.., round_number, attempt, plan_digest, ledger_head, ledger_signature, update,
              packed, masked}
evaluate, query.statistics: see shared/query_messages.py
query.unmask: see shared/aggregation_messages.py

Under secure aggregation `masked` carries what `update` carries otherwise, and `packed` where the
plan compresses updates; the other two are then empty.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from flwr.app import RecordDict

from shared.errors import MessageError
from shared.secagg.transcript import digest
from shared.vectors import FlatVector
from shared.wire import (
    Scalar,
    decode_bytes,
    decode_header,
    decode_vector,
    encode,
    figures_or_none,
    number,
    text,
    whole,
)

NOBODY, GUARD = "nobody", "guard"
ENFORCERS = (NOBODY, GUARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A client's answer to `query.enrol`.

    Attributes:
        client_id: Its stable, opaque name.
        announcement: Its signed key of this run and its identity; empty without secure aggregation.
        enforced_by: What decides at the site on what leaves it, one of `ENFORCERS`. A claim: no
            site can prove it.
    """

    client_id: str
    announcement: bytes = b""
    enforced_by: str = NOBODY

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        contents = {"announcement": self.announcement}
        header: dict[str, Scalar] = {
            "client_id": self.client_id,
            "enforced_by": self.enforced_by,
        }
        return encode(header, {}, contents=contents)

    @classmethod
    def from_record(cls, record: RecordDict) -> "Enrolled":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(record, ("client_id", "enforced_by"), vectors=("announcement",))
        enforced_by = text(header, "enforced_by")
        if enforced_by not in ENFORCERS:
            raise MessageError(f"expected 'enforced_by' of {ENFORCERS}, got another text")
        return cls(
            client_id=text(header, "client_id"),
            announcement=decode_bytes(record, "announcement"),
            enforced_by=enforced_by,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainInstruction:
    """What the server asks of a client in one round.

    Attributes:
        round_number: 1-based.
        attempt: 1-based; a round asked again with fresh randomness is another attempt.
        plan: Canonical JSON of the privacy plan, fixed before the first round.
        plan_digest: SHA-256 of `plan`, hexadecimal.
        parameters: Global parameters, shape (d,), float32.
        normalisation: As `Normalisation.vector`; of length 0 for none.
        clipping_norm: C of this round; the plan's, unless it is adaptive.
        aggregation: Keys and context of secure aggregation; empty without it.
    """

    kind: ClassVar[str] = "train"
    round_number: int
    attempt: int
    plan: str
    plan_digest: str
    clipping_norm: float
    parameters: FlatVector = field(repr=False)
    normalisation: FlatVector = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    aggregation: bytes = field(default=b"", repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, Scalar] = {
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan": self.plan,
            "plan_digest": self.plan_digest,
            "clipping_norm": self.clipping_norm,
        }
        vectors = {"parameters": self.parameters, "normalisation": self.normalisation}
        return encode(header, vectors, contents={"aggregation": self.aggregation})

    def digest(self) -> bytes:
        """32 bytes that stand for what is asked, whoever is asked and whatever masks it."""
        return digest(
            "instruction",
            "train",
            self.round_number,
            self.attempt,
            self.plan_digest,
            self.clipping_norm.hex(),
            self.parameters.tobytes(),
            self.normalisation.tobytes(),
        )

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainInstruction":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(
            record,
            ("round_number", "attempt", "plan", "plan_digest", "clipping_norm"),
            vectors=("parameters", "normalisation", "aggregation"),
        )
        return cls(
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan=text(header, "plan"),
            plan_digest=text(header, "plan_digest"),
            clipping_norm=number(header, "clipping_norm"),
            parameters=decode_vector(record, "parameters"),
            normalisation=decode_vector(record, "normalisation"),
            aggregation=decode_bytes(record, "aggregation"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReply:
    """What a client sends back: its clipped or noised update, and to what it answers.

    Attributes:
        round_number: As in the instruction.
        attempt: Likewise.
        plan_digest: Likewise.
        ledger_head: Hash of the last entry of the site's ledger; "" where it keeps none.
        ledger_signature: The site's signature of it, hexadecimal; "" likewise.
        update: Shape (d,), float32; of length 0 where it is masked or packed.
        packed: The same, compressed (shared/compression.py); empty unless the plan says so.
        masked: An upload of secure aggregation; empty without it.
    """

    round_number: int
    attempt: int
    plan_digest: str
    ledger_head: str = ""
    ledger_signature: str = ""
    # Secrecy: under client-level privacy this is one client's clipped update, before any noise.
    update: FlatVector = field(repr=False)
    packed: bytes = field(default=b"", repr=False)
    masked: bytes = field(default=b"", repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, Scalar] = {
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan_digest": self.plan_digest,
            "ledger_head": self.ledger_head,
            "ledger_signature": self.ledger_signature,
        }
        contents = {"packed": self.packed, "masked": self.masked}
        return encode(header, {"update": self.update}, contents=contents)

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainReply":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(
            record,
            ("round_number", "attempt", "plan_digest", "ledger_head", "ledger_signature"),
            vectors=("update", "packed", "masked"),
        )
        return cls(
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan_digest=text(header, "plan_digest"),
            ledger_head=figures_or_none(header, "ledger_head", 64),
            ledger_signature=figures_or_none(header, "ledger_signature", 128),
            update=decode_vector(record, "update"),
            packed=decode_bytes(record, "packed"),
            masked=decode_bytes(record, "masked"),
        )


def enrol_request() -> RecordDict:
    """The empty question `query.enrol`."""
    return encode({}, {})
