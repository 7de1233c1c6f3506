"""The client's side of secure aggregation: message in, message out, next stage.

    Announced --admit--> Ready --mask--> Masked --unmask--> Ready
                           ^________________|  (a round that came to nothing)

The server learns a sum of at least `survivors` updates, once for each attempt, or nothing: every
request that would tell it more is refused before anything is computed from a secret, and each
refusal has a name (`shared/secagg/refusal.py`). No stage knows Flower.

Source: Bonawitz et al. 2017 (eprint 2017/281), Bell et al. 2020 (2020/704), Ma et al. 2023
(2023/486).
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.errors import AggregationRefused, ConfigurationError
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskAnswer,
    UnmaskRequest,
    ciphertexts_digest,
    header_content,
    masked_digest,
)
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import (
    KeyBook,
    SignedKey,
    check_signature,
    opened,
    pair_seed,
    sealed,
    shared_secret,
    signed_key,
)
from shared.secagg.parameters import parameters_for
from shared.secagg.prg import add_masks
from shared.secagg.refusal import Refusal
from shared.secagg.ring import Integers, to_ring
from shared.secagg.shamir import in_field, split
from shared.secagg.transcript import KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a client brings to every run.

    Attributes:
        client_id: Its name.
        identity: Ed25519 key that was enrolled.
        enrolled: Identity of each client of the roster, from a channel the server cannot rewrite.
        corrupt_fraction: γ, share of the roster that may work with the server.
        dropped_fraction: δ, share of a cohort that may be lost.
    """

    client_id: str
    identity: Ed25519PrivateKey = field(repr=False)
    enrolled: Mapping[str, bytes] = field(repr=False)
    corrupt_fraction: float
    dropped_fraction: float


@dataclass(frozen=True, slots=True)
class Announced:
    """Before the first round: this client's key of the run is made and signed."""

    membership: Membership
    run_id: str
    plan: str
    key: X25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls, membership: Membership, run_id: str, plan: str) -> "Announced":
        """A fresh key of the operating system."""
        return cls(membership, run_id, plan, X25519PrivateKey.generate())

    def announcement(self) -> SignedKey:
        """What the server relays to the others."""
        me = self.membership
        return signed_key(me.identity, self.key, me.client_id, self.run_id, self.plan)

    def admit(self, announced: Collection[SignedKey]) -> "Ready":
        """Check all keys. Raises AggregationRefused as `KeyBook.checked`, or without one's own."""
        book = KeyBook.checked(announced, self.membership.enrolled, self.run_id, self.plan)
        if book.keys.get(self.membership.client_id) != self.key.public_key().public_bytes_raw():
            raise AggregationRefused(
                Refusal.OWN_KEY_MISSING, "expected this client's own key among all"
            )
        return Ready(self, book, {}, {})


@dataclass(frozen=True, slots=True)
class Ready:
    """Between two rounds.

    Attributes:
        announced: Key and membership.
        book: All keys of the run.
        pair_secrets: Of this client and each other that it met; filled as they are met.
        last: By kind of sum, the round and attempt that were masked last.
    """

    announced: Announced
    book: KeyBook
    pair_secrets: dict[str, bytes] = field(repr=False)
    last: Mapping[str, tuple[int, int]]

    def grow(self, announced: Collection[SignedKey]) -> "Ready":
        """Take up clients that joined. Raises AggregationRefused if a known entry changed."""
        start = self.announced
        later = KeyBook.checked(announced, start.membership.enrolled, start.run_id, start.plan)
        return replace(self, book=self.book.grown(later))

    def mask(self, context: RoundContext, vector: Integers) -> "Masked":
        """Mask `vector`, shape (d,), whole numbers, for this context.

        Raises:
            AggregationRefused: the context is not one that this client may answer.
        """
        self.check(context)
        me, bits = self.announced.membership.client_id, context.bits
        bound = context.digest
        graph = self.graph(context)
        seeds = {
            other: pair_seed(self.secret(other), bound, me, other) for other in graph.neighbours(me)
        }
        own = in_field(secrets.token_bytes(KEY_BYTES))
        masked = to_ring(vector, bits)
        # Guarantee: the earlier name adds what the later one subtracts.
        added = [own, *(seed for other, seed in seeds.items() if me < other)]
        add_masks(masked, added, [seed for other, seed in seeds.items() if other < me])
        masked &= masked.dtype.type((1 << bits) - 1)
        ciphertexts = self._ciphertexts(graph, bound, [own, *seeds.values()])
        header = self._header(bound, masked_digest(masked, bits), ciphertexts_digest(ciphertexts))
        upload = MaskedUpdate(header=header, masked=masked, ciphertexts=ciphertexts)
        now = (context.round_number, context.attempt)
        ready = replace(self, last={**self.last, context.kind: now})
        return Masked(ready, context, graph, upload)

    def graph(self, context: RoundContext) -> RoundGraph:
        """The circle and committee of `context`.

        Raises:
            AggregationRefused: so few are asked that too few honest ones may be left to be summed.
        """
        me = self.announced.membership
        fractions = (me.corrupt_fraction, me.dropped_fraction)
        try:
            # Guarantee: the roster is the enrolled one, which the server cannot make smaller.
            parameters = parameters_for(len(context.cohort), len(me.enrolled), *fractions)
        except ConfigurationError as error:
            raise AggregationRefused(Refusal.COHORT_TOO_SMALL, str(error)) from error
        return round_graph(context.cohort, context.digest, parameters)

    def secret(self, other: str) -> bytes:
        """The secret with another client for the whole run."""
        if other not in self.pair_secrets:
            self.pair_secrets[other] = shared_secret(self.announced.key, self.book.keys[other])
        return self.pair_secrets[other]

    def check(self, context: RoundContext) -> None:
        """Raise AggregationRefused unless this client may answer `context`."""
        cohort, start = context.cohort, self.announced
        now = (context.round_number, context.attempt)
        last = self.last.get(context.kind, (0, 0))
        known = set(cohort) <= self.book.keys.keys()
        for holds, reason in (
            (context.run_id == start.run_id, Refusal.RUN_CHANGED),
            (context.plan == start.plan, Refusal.PLAN_CHANGED),
            (context.roster == self.book.digest, Refusal.ROSTER_CHANGED),
            (context.round_number >= max(last[0], 1), Refusal.ROUND_WENT_BACK),
            (now > last and context.attempt >= 1, Refusal.ATTEMPT_REUSED),
            (known and list(cohort) == sorted(set(cohort)), Refusal.COHORT_MALFORMED),
            (start.membership.client_id in cohort, Refusal.NOT_IN_COHORT),
        ):
            if not holds:
                raise AggregationRefused(
                    reason, f"of round {context.round_number}, attempt {context.attempt}"
                )

    def _ciphertexts(self, graph: RoundGraph, bound: bytes, seeds: list[bytes]) -> dict[str, bytes]:
        parameters = graph.parameters
        shares = split(seeds, parameters.committee_size, parameters.threshold)
        # Its own shares too, if it is a member, under the secret that it has with itself.
        return {
            member: self._sealed(bound, member, held)
            for member, held in zip(graph.committee, shares, strict=True)
        }

    def _sealed(self, bound: bytes, member: str, content: bytes) -> bytes:
        me = self.announced.membership.client_id
        return sealed(self.secret(member), bound, me, member, content)

    def _header(self, bound: bytes, masked: bytes, ciphertexts: bytes) -> SignedHeader:
        me = self.announced.membership
        content = header_content(bound, me.client_id, masked, ciphertexts)
        return SignedHeader(
            client_id=me.client_id,
            masked=masked,
            ciphertexts=ciphertexts,
            signature=me.identity.sign(content),
        )


@dataclass(frozen=True, slots=True)
class Masked:
    """Its update is uploaded; it answers one request to unmask, if it is of the committee.

    Attributes:
        ready: What it was before, with this attempt noted.
        context: Of the attempt.
        graph: Of the attempt.
        upload: As it was sent, and is sent again if it is asked for again.
    """

    ready: Ready
    context: RoundContext
    graph: RoundGraph = field(repr=False)
    upload: MaskedUpdate = field(repr=False)

    def mask(self, context: RoundContext, vector: Integers) -> "Masked":
        """The stage of another attempt; of the very same context this one, bytes and all.

        Raises:
            AggregationRefused: as `Ready.mask`.
        """
        # Guarantee: two uploads of one attempt would differ by the difference of the updates.
        return self if context == self.context else self.ready.mask(context, vector)

    def unmask(self, request: UnmaskRequest) -> tuple[Ready, UnmaskAnswer]:
        """This member's shares, once; the next stage has forgotten the round.

        Own seeds of survivors, and their seeds with dropped neighbours; never both of one client.

        Raises:
            AggregationRefused: the request is not one that this member may answer.
        """
        survivors = self._checked(request)
        member = self.ready.announced.membership.client_id
        own: dict[str, bytes] = {}
        pairs: dict[tuple[str, str], bytes] = {}
        for survivor in survivors:
            shares = self._shares(survivor, request.ciphertexts.get(survivor, b""))
            own[survivor] = shares[:KEY_BYTES]
            for number, other in enumerate(self.graph.neighbours(survivor), start=1):
                # Secrecy: of two survivors' common seed nothing is ever said.
                if other not in survivors:
                    start = number * KEY_BYTES
                    pairs[survivor, other] = shares[start : start + KEY_BYTES]
        return self.ready, UnmaskAnswer(
            context=request.context, member=member, own=own, pairs=pairs
        )

    def _checked(self, request: UnmaskRequest) -> frozenset[str]:
        me, bound = self.ready.announced.membership, self.context.digest
        names = [header.client_id for header in request.headers]
        survivors = frozenset(names)
        for holds, reason in (
            (request.context == bound, Refusal.CONTEXT_CHANGED),
            (me.client_id in self.graph.committee, Refusal.NOT_IN_COMMITTEE),
            (len(names) == len(survivors), Refusal.SURVIVOR_TWICE),
            (survivors <= self.graph.places.keys(), Refusal.SURVIVOR_NOT_IN_COHORT),
            (len(survivors) >= self.graph.parameters.survivors, Refusal.TOO_FEW_SURVIVORS),
            (self.graph.connected(survivors), Refusal.SURVIVORS_ISOLATED),
        ):
            if not holds:
                raise AggregationRefused(reason, f"of round {self.context.round_number}")
        for header in request.headers:
            content = header.signed(bound)
            check_signature(me.enrolled[header.client_id], header.signature, content)
        return survivors

    def _shares(self, survivor: str, ciphertext: bytes) -> bytes:
        me = self.ready.announced.membership.client_id
        content = opened(self.ready.secret(survivor), self.context.digest, survivor, me, ciphertext)
        count = 1 + self.graph.parameters.degree
        if len(content) != count * KEY_BYTES:
            raise AggregationRefused(
                Refusal.CIPHERTEXT_OF_ANOTHER_CONTEXT, f"expected {count} shares of {survivor!r}"
            )
        return content
