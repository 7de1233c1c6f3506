"""The wire contract: typed messages <-> Flower RecordDict.

Whatever leaves a client is one of the reply classes below, and nothing else: no data set size, no
loss, no metric. The exchanges of protocol version 2:

query.enrol  {} -> {protocol_version, client_id}
train        {.., round_number, attempt, plan, plan_digest, clipping_norm, parameters,
              normalisation}
             -> {.., round_number, attempt, plan_digest, ledger_head, ledger_signature, update}
evaluate, query.statistics: see shared/query_messages.py
"""

from dataclasses import dataclass, field

import numpy as np
from flwr.app import RecordDict

from shared.parameters import FlatVector
from shared.wire import Scalar, decode_header, decode_vector, encode, number, text, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A client's answer to `query.enrol`: its stable, opaque name."""

    client_id: str

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        return encode({"client_id": self.client_id}, {})

    @classmethod
    def from_record(cls, record: RecordDict) -> "Enrolled":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(record, ("client_id",))
        return cls(client_id=text(header, "client_id"))


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
    """

    round_number: int
    attempt: int
    plan: str
    plan_digest: str
    clipping_norm: float
    parameters: FlatVector = field(repr=False)
    normalisation: FlatVector = field(default_factory=lambda: np.zeros(0, dtype=np.float32))

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
        return encode(header, vectors)

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainInstruction":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(
            record,
            ("round_number", "attempt", "plan", "plan_digest", "clipping_norm"),
            vectors=("parameters", "normalisation"),
        )
        return cls(
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan=text(header, "plan"),
            plan_digest=text(header, "plan_digest"),
            clipping_norm=number(header, "clipping_norm"),
            parameters=decode_vector(record, "parameters"),
            normalisation=decode_vector(record, "normalisation"),
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
        update: Shape (d,), float32.
    """

    round_number: int
    attempt: int
    plan_digest: str
    ledger_head: str = ""
    ledger_signature: str = ""
    # Secrecy: under client-level privacy this is one client's clipped update, before any noise.
    update: FlatVector = field(repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, Scalar] = {
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan_digest": self.plan_digest,
            "ledger_head": self.ledger_head,
            "ledger_signature": self.ledger_signature,
        }
        return encode(header, {"update": self.update})

    @classmethod
    def from_record(cls, record: RecordDict) -> "TrainReply":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(
            record,
            ("round_number", "attempt", "plan_digest", "ledger_head", "ledger_signature"),
            vectors=("update",),
        )
        return cls(
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan_digest=text(header, "plan_digest"),
            ledger_head=text(header, "ledger_head", may_be_empty=True),
            ledger_signature=text(header, "ledger_signature", may_be_empty=True),
            update=decode_vector(record, "update"),
        )


def enrol_request() -> RecordDict:
    """The empty question `query.enrol`."""
    return encode({}, {})
