"""The server's side of secure aggregation: masked updates in, one sum out.

    Collecting --close--> Unmasking --finish--> the sum

It holds no secret before the committee answers, and then those alone that undo the masks of the
sum. What a peer sends is checked; a peer whose message is wrong is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shared.errors import AggregationRefused, ProtocolError, TooFewSurvivors
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskAnswer,
    UnmaskRequest,
    ciphertexts_digest,
    masked_digest,
)
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import check_signature
from shared.secagg.parameters import AggregationParameters
from shared.secagg.prg import add_masks
from shared.secagg.ring import Integers, Words, from_ring, word
from shared.secagg.shamir import Reconstruction, is_share


@dataclass(frozen=True, slots=True)
class Collecting:
    """Between the instructions and the committee: adds up masked updates as they come.

    Attributes:
        context: Of the attempt.
        graph: Of the attempt.
        enrolled: Ed25519 identity of each client.
        total: Sum so far, modulo the ring's word, shape (d,).
        headers: Of those who uploaded.
        ciphertexts: By survivor, then by member.
    """

    context: RoundContext
    graph: RoundGraph = field(repr=False)
    enrolled: Mapping[str, bytes] = field(repr=False)
    total: Words = field(repr=False)
    headers: dict[str, SignedHeader] = field(default_factory=dict, repr=False)
    ciphertexts: dict[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        context: RoundContext,
        dimension: int,
        enrolled: Mapping[str, bytes],
        parameters: AggregationParameters,
    ) -> "Collecting":
        """Nothing collected yet, for vectors of length `dimension`."""
        graph = round_graph(context.cohort, context.digest, parameters)
        return cls(context, graph, enrolled, np.zeros(dimension, dtype=word(context.bits)))

    def add(self, update: MaskedUpdate) -> None:
        """Count one upload; the same one again changes nothing.

        Raises:
            ProtocolError: not of this cohort, another length, ciphertexts for others than the
                committee, or not what its sender signed; the client is to be left out.
        """
        header, bits = update.header, self.context.bits
        client = header.client_id
        if self.headers.get(client) == header:
            return
        if client not in self.graph.places or client in self.headers:
            raise ProtocolError(f"expected one upload of a client of the cohort, got {client!r}")
        masked = update.masked
        if masked.shape != self.total.shape or masked.dtype != self.total.dtype:
            raise ProtocolError(
                f"expected {self.total.shape} of {self.total.dtype}, got {masked.shape} of "
                f"{masked.dtype}"
            )
        if set(update.ciphertexts) != set(self.graph.committee):
            raise ProtocolError("expected one ciphertext for each member of the committee")
        sent = (masked_digest(masked, bits), ciphertexts_digest(update.ciphertexts))
        if sent != (header.masked, header.ciphertexts):
            raise ProtocolError("expected what the header was signed for, got something else")
        content = header.signed(self.context.digest)
        try:
            check_signature(self.enrolled[client], header.signature, content)
        except AggregationRefused as error:
            raise ProtocolError(f"expected a header signed by {client!r}") from error
        np.add(self.total, masked, out=self.total)
        self.headers[client] = header
        self.ciphertexts[client] = update.ciphertexts

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
        graph = self.graph
        pairs = tuple(
            (survivor, other)
            for survivor in self.headers
            for other in graph.neighbours(survivor)
            if other not in self.headers
        )
        return Unmasking(self, pairs, {})


@dataclass(frozen=True, slots=True)
class Unmasking:
    """Between the requests to the committee and the sum.

    Attributes:
        collected: What was uploaded.
        pairs: Each survivor with each dropped neighbour: whose seeds are to be undone.
        answers: By member.
    """

    collected: Collecting = field(repr=False)
    pairs: tuple[tuple[str, str], ...] = field(repr=False)
    answers: dict[str, UnmaskAnswer] = field(repr=False)

    def request(self, member: str) -> UnmaskRequest:
        """What to ask `member`."""
        collected = self.collected
        return UnmaskRequest(
            context=collected.context.digest,
            headers=tuple(collected.headers[name] for name in sorted(collected.headers)),
            ciphertexts={
                survivor: sealed[member] for survivor, sealed in collected.ciphertexts.items()
            },
        )

    def add(self, answer: UnmaskAnswer) -> None:
        """Keep one member's shares.

        Raises:
            ProtocolError: not of the committee, of another context, or not the shares asked for.
        """
        graph, headers = self.collected.graph, self.collected.headers
        if answer.member not in graph.committee or answer.member in self.answers:
            raise ProtocolError(f"expected one answer of a member, got {answer.member!r}")
        if answer.context != self.collected.context.digest:
            raise ProtocolError("expected an answer of this context, got another")
        if answer.own.keys() != headers.keys() or answer.pairs.keys() != set(self.pairs):
            raise ProtocolError("expected the shares that were asked for, got others")
        # Here, where one member is left out, and not at the end, where the round would be lost.
        if not all(map(is_share, (*answer.own.values(), *answer.pairs.values()))):
            raise ProtocolError("expected shares of the field, got something else")
        self.answers[answer.member] = answer

    @property
    def complete(self) -> bool:
        """Whether enough members have answered."""
        return len(self.answers) >= self.collected.graph.parameters.threshold

    def finish(self) -> Integers:
        """The sum of the survivors' vectors, each number in [-2^(b-1), 2^(b-1)).

        Raises:
            TooFewSurvivors: fewer answers than the threshold.
            ProtocolError: a share that is none.
        """
        graph, context = self.collected.graph, self.collected.context
        needed = graph.parameters.threshold
        if not self.complete:
            raise TooFewSurvivors(f"expected {needed} answers, got {len(self.answers)}")
        place = {name: x for x, name in enumerate(graph.committee, start=1)}
        used = dict(sorted((place[name], self.answers[name]) for name in self.answers))
        used = dict(list(used.items())[:needed])
        rebuilt = Reconstruction(tuple(used))
        own = [
            rebuilt.secret({x: answer.own[name] for x, answer in used.items()})
            for name in self.collected.headers
        ]
        # What survivors added for a dropped neighbour is taken off, and the other way round.
        added: list[bytes] = []
        subtracted = own
        for survivor, other in self.pairs:
            seed = rebuilt.secret({x: answer.pairs[survivor, other] for x, answer in used.items()})
            (subtracted if survivor < other else added).append(seed)
        total = self.collected.total.copy()
        add_masks(total, added, subtracted)
        return from_ring(total, context.bits)
