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
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from client.seeds import Attempt
from shared.errors import AggregationRefused, ConfigurationError
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskAnswer,
    UnmaskRequest,
    header_content,
    masked_digest,
    shares_digest,
)
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import KeyBook, SignedKey, check_signature, shared_secret, signed_key
from shared.secagg.parameters import parameters_for
from shared.secagg.refusal import Refusal
from shared.secagg.ring import Integers, pack, to_ring
from shared.secagg.shamir import in_field
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
        helpers: Who undoes masks instead of a committee, ascending; empty: a committee.
    """

    client_id: str
    identity: Ed25519PrivateKey = field(repr=False)
    enrolled: Mapping[str, bytes] = field(repr=False)
    corrupt_fraction: float
    dropped_fraction: float
    helpers: tuple[str, ...] = ()


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
        graph = self.graph(context)
        own = in_field(secrets.token_bytes(KEY_BYTES))
        words = to_ring(vector, context.bits)
        self.attempt(context, graph).add_masks(words, own)
        words &= words.dtype.type((1 << context.bits) - 1)
        now = (context.round_number, context.attempt)
        ready = replace(self, last={**self.last, context.kind: now})
        return Masked(ready, context, graph, len(words), own, pack(words, context.bits))

    def attempt(self, context: RoundContext, graph: RoundGraph) -> Attempt:
        """This client's seeds in `context`."""
        me = self.announced.membership.client_id
        return Attempt(me, context.digest, graph, self.secret)

    def graph(self, context: RoundContext) -> RoundGraph:
        """The circle and committee of `context`.

        Raises:
            AggregationRefused: so few are asked that too few honest ones may be left to be summed.
        """
        me = self.announced.membership
        fractions = (me.corrupt_fraction, me.dropped_fraction)
        if not set(me.helpers) <= set(context.cohort):
            raise AggregationRefused(
                Refusal.HELPER_MISSING,
                f"of round {context.round_number}, got not all of the plan's",
            )
        try:
            # Guarantee: the roster is the enrolled one, which the server cannot make smaller.
            parameters = parameters_for(
                len(context.cohort), len(me.enrolled), *fractions, len(me.helpers)
            )
        except ConfigurationError as error:
            raise AggregationRefused(Refusal.COHORT_TOO_SMALL, str(error)) from error
        return round_graph(context.cohort, context.digest, parameters, me.helpers)

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


@dataclass(frozen=True)
class Masked:
    """Its update is uploaded; it answers one request to unmask, if it is of the committee.

    Attributes:
        ready: What it was before, with this attempt noted.
        context: Of the attempt.
        graph: Of the attempt.
        dimension: Length of the vector.
        own: Its own seed.
        masked: The packed vector under its masks.
    """

    ready: Ready
    context: RoundContext
    graph: RoundGraph = field(repr=False)
    dimension: int
    own: bytes = field(repr=False)
    masked: bytes = field(repr=False)

    @cached_property
    def upload(self) -> MaskedUpdate:
        """What is sent, and sent again if it is asked for again: the same bytes each time."""
        commitments, ciphertexts = self._attempt.shared(self.own)
        me = self.ready.announced.membership
        hashes = masked_digest(self.masked), shares_digest(commitments, ciphertexts)
        content = header_content(self.context.digest, me.client_id, *hashes)
        header = SignedHeader(
            client_id=me.client_id,
            masked=hashes[0],
            shares=hashes[1],
            signature=me.identity.sign(content),
        )
        return MaskedUpdate(
            header=header, masked=self.masked, commitments=commitments, ciphertexts=ciphertexts
        )

    def mask(self, context: RoundContext, vector: Integers) -> "Masked":
        """The stage of another attempt; of the very same context this one, bytes and all.

        Raises:
            AggregationRefused: as `Ready.mask`.
        """
        # Guarantee: two uploads of one attempt would differ by the difference of the updates.
        return self if context == self.context else self.ready.mask(context, vector)

    def unmask(self, request: UnmaskRequest) -> tuple[Ready, UnmaskAnswer]:
        """What this member tells, once; the next stage has forgotten the round.

        Raises:
            AggregationRefused: the request is not one that this member may answer.
        """
        survivors = self._checked(request)
        told = self._attempt.told(request, survivors, self.dimension, self.context.bits)
        return self.ready, told

    @property
    def _attempt(self) -> Attempt:
        return self.ready.attempt(self.context, self.graph)

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
