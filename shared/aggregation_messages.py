"""The wire contract of the second exchange of secure aggregation.

query.unmask   {.., kind, round_number, attempt, content: request} -> {.., content: answer}

What the bytes hold says `shared/secagg/packing.py`.
"""

from dataclasses import dataclass, field

from flwr.app import RecordDict

from shared.wire import Scalar, decode_bytes, decode_header, encode, text, whole

UNMASK = "query.unmask"
_NAMES = ("kind", "round_number", "attempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskMessage:
    """A request to a member of the committee, or its answer.

    Attributes:
        kind: What was summed.
        round_number: 1-based.
        attempt: 1-based.
        content: The packed request or answer.
    """

    kind: str
    round_number: int
    attempt: int
    content: bytes = field(repr=False)

    def to_record(self) -> RecordDict:
        """The message as Flower carries it."""
        header: dict[str, Scalar] = {name: getattr(self, name) for name in _NAMES}
        return encode(header, {}, contents={"content": self.content})

    @classmethod
    def from_record(cls, record: RecordDict) -> "UnmaskMessage":
        """Decode. Raises MessageError on a wrong version, type, missing or unknown field."""
        header = decode_header(record, _NAMES, vectors=("content",))
        return cls(
            kind=text(header, "kind"),
            round_number=whole(header, "round_number"),
            attempt=whole(header, "attempt"),
            content=decode_bytes(record, "content"),
        )
