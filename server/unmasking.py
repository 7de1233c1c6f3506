"""The server's side of secure aggregation: masked updates in, one sum out.

    Collecting --close--> Unmasking --finish--> the sum

It holds no secret before the committee answers, and then those alone that undo the masks of the
sum. What a peer sends is checked; a peer whose message is wrong is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from server.seeds import Rebuilding
from shared.errors import AggregationRefused, MessageError, ProtocolError, TooFewSurvivors
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskAnswer,
    UnmaskRequest,
    masked_digest,
    shares_digest,
)
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import SEAL_BYTES, check_signature, mask_key
from shared.secagg.parameters import AggregationParameters
from shared.secagg.prg import add_masks
from shared.secagg.ring import Integers, Words, from_ring, unpack, word
from shared.secagg.shamir import is_shares
from shared.secagg.transcript import KEY_BYTES


@dataclass(frozen=True, slots=True)
class Collecting:
    """Between the instructions and the committee: adds up masked updates as they come.

    Attributes:
        context: Of the attempt.
        graph: Of the attempt.
        enrolled: Ed25519 identity of each client.
        total: Sum so far, modulo the ring's word, shape (d,).
        headers: Of those who uploaded.
        commitments: By survivor, to its own seed and to that with each neighbour.
        ciphertexts: By survivor, then by member.
    """

    context: RoundContext
    graph: RoundGraph = field(repr=False)
    enrolled: Mapping[str, bytes] = field(repr=False)
    total: Words = field(repr=False)
    headers: dict[str, SignedHeader] = field(default_factory=dict, repr=False)
    commitments: dict[str, bytes] = field(default_factory=dict, repr=False)
    ciphertexts: dict[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        context: RoundContext,
        dimension: int,
        enrolled: Mapping[str, bytes],
        parameters: AggregationParameters,
        helpers: tuple[str, ...] = (),
    ) -> "Collecting":
        """Nothing collected yet, for vectors of length `dimension`."""
        graph = round_graph(context.cohort, context.digest, parameters, helpers)
        return cls(context, graph, enrolled, np.zeros(dimension, dtype=word(context.bits)))

    def add(self, update: MaskedUpdate) -> None:
        """Count one upload; the same one again changes nothing.

        Raises:
            ProtocolError: not of this cohort, another length, ciphertexts for others than the
                committee, or not what its sender signed; the client is to be left out.
        """
        header, graph = update.header, self.graph
        client = header.client_id
        if self.headers.get(client) == header:
            return
        if client not in graph.places or client in self.headers:
            raise ProtocolError(f"expected one upload of a client of the cohort, got {client!r}")
        words = unpack(update.masked, len(self.total), self.context.bits)
        self._check_shares(update)
        sent = masked_digest(update.masked), shares_digest(update.commitments, update.ciphertexts)
        if sent != (header.masked, header.shares):
            raise ProtocolError("expected what the header was signed for, got something else")
        content = header.signed(self.context.digest)
        try:
            check_signature(self.enrolled[client], header.signature, content)
        except AggregationRefused as error:
            raise ProtocolError(f"expected a header signed by {client!r}") from error
        np.add(self.total, words, out=self.total)
        self.headers[client] = header
        self.commitments[client] = update.commitments
        self.ciphertexts[client] = update.ciphertexts

    def _check_shares(self, update: MaskedUpdate) -> None:
        graph = self.graph
        helped = graph.parameters.helped
        length = 0 if helped else (1 + graph.parameters.degree) * KEY_BYTES
        sealed = {name: len(content) for name, content in update.ciphertexts.items()}
        if sealed != ({} if helped else dict.fromkeys(graph.sealed, length + SEAL_BYTES)):
            raise ProtocolError("expected one ciphertext for each member without derived shares")
        if len(update.commitments) != length:
            raise ProtocolError("expected one commitment for each seed")

    def close(self) -> "Unmasking":
        """Nobody more is waited for.

        Raises:
            TooFewSurvivors: fewer than the parameters ask for, or too few in a row of the circle:
                no honest member would answer.
        """
        needed = self.graph.parameters.survivors
        if len(self.headers) < needed:
            raise TooFewSurvivors(f"expected {needed} uploads, got {len(self.headers)}")
        if not self.graph.connected(self.headers.keys()):
            raise TooFewSurvivors("expected survivors all around the circle, got a gap")
        helped = self.graph.parameters.helped
        undone = {} if helped else self.graph.undone(self.headers.keys())
        return Unmasking(self, undone, {})


@dataclass(frozen=True, slots=True)
class Unmasking:
    """Between the requests to the committee and the sum.

    Attributes:
        collected: What was uploaded.
        undone: Each survivor's dropped neighbours: whose seeds are to be undone.
        answers: By member.
    """

    collected: Collecting = field(repr=False)
    undone: Mapping[str, list[str]] = field(repr=False)
    answers: dict[str, UnmaskAnswer] = field(repr=False)

    def request(self, member: str) -> UnmaskRequest:
        """What to ask `member`."""
        collected, sealed = self.collected, self.collected.ciphertexts
        derives = not collected.ciphertexts or member not in collected.graph.sealed
        helped = collected.graph.parameters.helped
        return UnmaskRequest(
            context=collected.context.digest,
            headers=tuple(collected.headers[name] for name in sorted(collected.headers)),
            ciphertexts={}
            if derives or helped
            else {survivor: sealed[survivor][member] for survivor in sealed},
        )

    def add(self, answer: UnmaskAnswer) -> None:
        """Keep what one member tells.

        Raises:
            ProtocolError: not of the committee, of another context, or not what was asked for.
        """
        graph = self.collected.graph
        if answer.member not in graph.committee or answer.member in self.answers:
            raise ProtocolError(f"expected one answer of a member, got {answer.member!r}")
        if answer.context != self.collected.context.digest:
            raise ProtocolError("expected an answer of this context, got another")
        # Here, where one member is left out, and not at the end, where the round would be lost.
        if not (self._holds_masks if graph.parameters.helped else self._holds_shares)(answer):
            raise ProtocolError("expected what was asked for, got something else")
        self.answers[answer.member] = answer

    def _holds_masks(self, answer: UnmaskAnswer) -> bool:
        collected = self.collected
        try:
            unpack(answer.masks, len(collected.total), collected.context.bits)
        except MessageError:
            return False
        return not (answer.unopened or answer.own or answer.pairs)

    def _holds_shares(self, answer: UnmaskAnswer) -> bool:
        told = self.undone.keys() - set(answer.unopened)
        pairs = sum(len(self.undone[survivor]) for survivor in told)
        own = len(self.undone) - len(answer.unopened)
        return (
            len(told) == own
            and not answer.masks
            and is_shares(answer.own, own)
            and is_shares(answer.pairs, pairs)
        )

    @property
    def complete(self) -> bool:
        """Whether enough members have answered, if all told the truth."""
        return len(self.answers) >= self.collected.graph.parameters.threshold

    def finish(self) -> Integers:
        """The sum of the survivors' vectors, each number in [-2^(b-1), 2^(b-1)).

        Raises:
            TooFewSurvivors: fewer answers than the threshold.
            SpoiledSum: a survivor's seeds cannot be put together from the answers so far.
        """
        graph, context = self.collected.graph, self.collected.context
        needed = graph.parameters.threshold
        if not self.complete:
            raise TooFewSurvivors(f"expected {needed} answers, got {len(self.answers)}")
        total = self.collected.total.copy()
        if graph.parameters.helped:
            for answer in self.answers.values():
                total -= unpack(answer.masks, len(total), context.bits)
            return from_ring(total, context.bits)
        rebuilding = Rebuilding(graph, self.undone, self.collected.commitments, self.answers)
        own, pairs = rebuilding.seeds()
        # What survivors added for a dropped neighbour is taken off, and the other way round.
        added: list[bytes] = []
        subtracted = list(map(mask_key, own))
        for (survivor, other), seed in pairs.items():
            (subtracted if survivor < other else added).append(mask_key(seed))
        add_masks(total, added, subtracted)
        return from_ring(total, context.bits)
