"""The wire contract of private queries: a question to a client, and a bounded vector back.

evaluate           {.., kind, round_number, attempt, plan, plan_digest, parameters,
                    normalisation, aggregation}
query.statistics   the same; parameters are not looked at
                   -> {.., kind, round_number, attempt, plan_digest, sums, masked}
"""

from dataclasses import dataclass, field

from flwr.app import RecordDict

from shared.secagg.transcript import digest
from shared.vectors import FlatVector
from shared.wire import decode_bytes, decode_header, decode_vector, encode, text, whole

MESSAGE_TYPES = {"evaluate": "evaluate", "statistics": "query.statistics"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryInstruction:
    """What the server asks besides training.

    Attributes:
        kind: evaluate or statistics.
        round_number: The round it belongs to, 1-based.
        attempt: 1-based.
        plan: Canonical JSON of the privacy plan, which says width and noise.
        plan_digest: SHA-256 of `plan`, hexadecimal.
        parameters: Global parameters, shape (d,), float32; of length 0 for statistics.
        normalisation: As `Normalisation.vector`; of length 0 for none.
        aggregation: Keys and context of secure aggregation; empty without it.
    """

    kind: str
    round_number: int
    attempt: int
    plan: str
    plan_digest: str
    parameters: FlatVector = field(repr=False)
    normalisation: FlatVector
    aggregation: bytes = field(default=b"", repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, str | int] = {
            "kind": self.kind,
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan": self.plan,
            "plan_digest": self.plan_digest,
        }
        vectors = {"parameters": self.parameters, "normalisation": self.normalisation}
        return encode(header, vectors, contents={"aggregation": self.aggregation})

    def digest(self) -> bytes:
        """32 bytes that stand for what is asked, whoever is asked and whatever masks it."""
        return digest(
            "instruction",
            self.kind,
            self.round_number,
            self.attempt,
            self.plan_digest,
            self.parameters.tobytes(),
            self.normalisation.tobytes(),
        )

    @classmethod
    def from_record(cls, record: RecordDict) -> "QueryInstruction":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(
            record, ("kind", "round_number", "attempt", "plan", "plan_digest"),
            vectors=("parameters", "normalisation", "aggregation"),
        )  # fmt: skip
        return cls(
            kind=text(header, "kind"),
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan=text(header, "plan"),
            plan_digest=text(header, "plan_digest"),
            parameters=decode_vector(record, "parameters"),
            normalisation=decode_vector(record, "normalisation"),
            aggregation=decode_bytes(record, "aggregation"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryReply:
    """A client's bounded vector: noised at record level; one unit's own at client level.

    Under secure aggregation it lies in `masked`, and `sums` has length 0.
    """

    kind: str
    round_number: int
    attempt: int
    plan_digest: str
    # Secrecy: at client level this is one client's vector before any noise.
    sums: FlatVector = field(repr=False)
    masked: bytes = field(default=b"", repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, str | int] = {
            "kind": self.kind,
            "round_number": self.round_number,
            "attempt": self.attempt,
            "plan_digest": self.plan_digest,
        }
        return encode(header, {"sums": self.sums}, contents={"masked": self.masked})

    @classmethod
    def from_record(cls, record: RecordDict) -> "QueryReply":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        names = ("kind", "round_number", "attempt", "plan_digest")
        header = decode_header(record, names, vectors=("sums", "masked"))
        return cls(
            kind=text(header, "kind"),
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            plan_digest=text(header, "plan_digest"),
            sums=decode_vector(record, "sums"),
            masked=decode_bytes(record, "masked"),
        )
