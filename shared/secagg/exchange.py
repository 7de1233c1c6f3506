"""What the parties of a round tell each other; nothing else leaves a client.

exchange 1   server -> client      RoundContext
             client -> server      MaskedUpdate
exchange 2   server -> committee   UnmaskRequest
             member -> server      UnmaskAnswer
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from shared.secagg.transcript import digest


@dataclass(frozen=True, kw_only=True)
class RoundContext:
    """One attempt at one round: whatever is signed, sealed or derived in it is bound to this.

    Attributes:
        run_id: Of the run.
        plan: Digest of its privacy plan.
        roster: Digest of its key book.
        model: Digest of the instruction: of the global parameters, above all.
        kind: What is summed: train, evaluate or statistics.
        round_number: 1-based.
        attempt: 1-based.
        cohort: Names of those asked, ascending.
        bits: b of the ring.
    """

    run_id: str
    plan: str
    roster: bytes
    model: bytes
    kind: str
    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    bits: int

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that stand for all of it."""
        return digest(
            "round",
            self.run_id,
            self.plan,
            self.roster,
            self.model,
            self.kind,
            self.round_number,
            self.attempt,
            self.cohort,
            self.bits,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHeader:
    """A client's word that it uploaded exactly this in exactly this context.

    Attributes:
        client_id: Whose.
        masked: SHA-256 of the packed masked vector.
        shares: SHA-256 of its commitments and ciphertexts.
        signature: Ed25519 over the context and both.
    """

    client_id: str
    masked: bytes
    shares: bytes
    signature: bytes

    def signed(self, context: bytes) -> bytes:
        """What the signature is of."""
        return header_content(context, self.client_id, self.masked, self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedUpdate:
    """What a client uploads: its vector under masks, and what undoes them if it is lost or stays.

    Attributes:
        header: Signed.
        masked: d numbers of b bits, packed; uniform to whoever lacks a seed.
        commitments: To its own seed and to that with each neighbour, 32 bytes each; none where
            helpers undo the masks.
        ciphertexts: For each member of the committee that cannot derive them: its shares, for its
            eyes alone.
    """

    header: SignedHeader
    masked: bytes = field(repr=False)
    commitments: bytes = field(repr=False)
    ciphertexts: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskRequest:
    """Whose updates the server says it has, and what they sent to one member.

    Attributes:
        context: Digest of the round's context.
        headers: Of every survivor.
        ciphertexts: Of every survivor, for this member; none where it derives its shares.
    """

    context: bytes
    headers: tuple[SignedHeader, ...]
    ciphertexts: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskAnswer:
    """What one member tells: shares, or where helpers undo the masks a sum of masks.

    Attributes:
        context: Digest of the round's context.
        member: Who answers.
        unopened: Survivors whose shares this member could not read; nothing is told of them.
        own: Share of each other survivor's own seed, survivors ascending, 32 bytes each.
        pairs: Share of the seed of each of them with each dropped neighbour, ascending.
        masks: The packed sum of all survivors' masks with this helper; empty in a committee.
    """

    context: bytes
    member: str
    unopened: tuple[str, ...] = ()
    own: bytes = field(default=b"", repr=False)
    pairs: bytes = field(default=b"", repr=False)
    masks: bytes = field(default=b"", repr=False)


def header_content(context: bytes, client_id: str, masked: bytes, shares: bytes) -> bytes:
    """The bytes that a header's signature is of."""
    return digest("header", context, client_id, masked, shares)


def masked_digest(masked: bytes) -> bytes:
    """SHA-256 of the packed vector."""
    return digest("masked", masked)


def shares_digest(commitments: bytes, ciphertexts: Mapping[str, bytes]) -> bytes:
    """SHA-256 of commitments and of all ciphertexts with their receivers, whatever their order."""
    sealed = [(name, ciphertexts[name]) for name in sorted(ciphertexts)]
    return digest("shares", commitments, sealed)
