"""What the parties of a round tell each other; nothing else leaves a client.

exchange 1   server -> client      RoundContext
             client -> server      MaskedUpdate
exchange 2   server -> committee   UnmaskRequest
             member -> server      UnmaskAnswer
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from shared.secagg.ring import Words, pack
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
        ciphertexts: SHA-256 of all its ciphertexts.
        signature: Ed25519 over the context and both.
    """

    client_id: str
    masked: bytes
    ciphertexts: bytes
    signature: bytes

    def signed(self, context: bytes) -> bytes:
        """What the signature is of."""
        return header_content(context, self.client_id, self.masked, self.ciphertexts)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedUpdate:
    """What a client uploads: its vector under masks, and shares of their seeds under seal.

    Attributes:
        header: Signed.
        masked: Shape (d,), of one of the ring's words; uniform to whoever lacks a seed.
        ciphertexts: For each member of the committee: the shares, for its eyes alone.
    """

    header: SignedHeader
    masked: Words = field(repr=False)
    ciphertexts: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskRequest:
    """Whose updates the server says it has, and what they sent to one member.

    Attributes:
        context: Digest of the round's context.
        headers: Of every survivor.
        ciphertexts: Of every survivor, for this member.
    """

    context: bytes
    headers: tuple[SignedHeader, ...]
    ciphertexts: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskAnswer:
    """One member's shares: of each survivor's own seed, and of its seeds with dropped clients.

    Attributes:
        context: Digest of the round's context.
        member: Who answers.
        own: Share of the own seed by survivor.
        pairs: Share of the seed of (survivor, dropped).
    """

    context: bytes
    member: str
    own: Mapping[str, bytes] = field(repr=False)
    pairs: Mapping[tuple[str, str], bytes] = field(repr=False)


def header_content(context: bytes, client_id: str, masked: bytes, ciphertexts: bytes) -> bytes:
    """The bytes that a header's signature is of."""
    return digest("header", context, client_id, masked, ciphertexts)


def masked_digest(masked: Words, bits: int) -> bytes:
    """SHA-256 of the vector as it is packed."""
    return digest("masked", pack(masked, bits))


def ciphertexts_digest(ciphertexts: Mapping[str, bytes]) -> bytes:
    """SHA-256 of all ciphertexts with their receivers, whatever their order."""
    return digest("ciphertexts", [(name, ciphertexts[name]) for name in sorted(ciphertexts)])
