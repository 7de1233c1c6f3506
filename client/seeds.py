"""What masks one client's vector in one attempt, and what a member tells so that it is undone.

Two ways, of which a plan chooses one. A committee: each client masks with a seed of its own and one
with each neighbour, and shares all of them among the committee. Helpers: each client masks with a
seed for each of a few fixed clients, who tell the sum of the survivors' masks; nothing is shared,
and all of them must answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from shared.errors import AggregationRefused
from shared.secagg.exchange import UnmaskAnswer, UnmaskRequest
from shared.secagg.graph import RoundGraph
from shared.secagg.keys import (
    commitment,
    derived_shares,
    helper_seed,
    mask_key,
    opened,
    pair_seed,
    sealed,
)
from shared.secagg.prg import add_masks
from shared.secagg.refusal import Refusal
from shared.secagg.ring import Words, pack, word
from shared.secagg.shamir import completed, is_shares
from shared.secagg.transcript import KEY_BYTES


@dataclass(frozen=True, slots=True)
class Attempt:
    """One client in one attempt.

    Attributes:
        client_id: Whose.
        context: Digest of the attempt's context.
        graph: Of the attempt.
        secret: The secret with another client, for the whole run.
    """

    client_id: str
    context: bytes
    graph: RoundGraph = field(repr=False)
    secret: Callable[[str], bytes] = field(repr=False)

    def add_masks(self, words: Words, own: bytes) -> None:
        """Mask `words`, shape (d,), in place.

        Args:
            words: Elements of the ring.
            own: A fresh seed in the field; not used where helpers undo the masks.
        """
        me, graph = self.client_id, self.graph
        if graph.parameters.helped:
            add_masks(words, [mask_key(self._with_helper(me, name)) for name in graph.committee])
            return
        seeds = self._seeds(own)
        keys = [mask_key(seed) for seed in seeds]
        pairs = list(zip(graph.neighbours(me), keys[1:], strict=True))
        # Guarantee: the earlier name adds what the later one subtracts.
        added = [keys[0], *(key for other, key in pairs if me < other)]
        add_masks(words, added, [key for other, key in pairs if other < me])

    def shared(self, own: bytes) -> tuple[bytes, dict[str, bytes]]:
        """Commitments to all seeds, and for each member that cannot derive its shares, these.

        The same for the same own seed, bit by bit: all else is derived.
        """
        graph = self.graph
        if graph.parameters.helped:
            return b"", {}
        seeds = self._seeds(own)
        given = [self._derived(self.client_id, member, len(seeds)) for member in graph.derived]
        # Its own shares too, if it is a member, under the secret that it has with itself.
        shares = completed(b"".join(seeds), given, graph.parameters.committee_size)
        ciphertexts = {
            member: sealed(self.secret(member), self.context, self.client_id, member, held)
            for member, held in zip(graph.sealed, shares, strict=True)
        }
        return b"".join(map(commitment, seeds)), ciphertexts

    def told(
        self, request: UnmaskRequest, survivors: frozenset[str], dimension: int, bits: int
    ) -> UnmaskAnswer:
        """This member's answer to a request that was checked.

        Own seeds of survivors, and their seeds with dropped neighbours; never both of one client.
        Of a survivor whose shares cannot be read, nothing but that.
        """
        if self.graph.parameters.helped:
            return self._told_masks(survivors, dimension, bits)
        own, pairs, unopened = list[bytes](), list[bytes](), list[str]()
        for survivor, lost in self.graph.undone(survivors).items():
            shares = self._held(survivor, request.ciphertexts.get(survivor, b""))
            if shares is None:
                unopened.append(survivor)
                continue
            own.append(shares[:KEY_BYTES])
            # Secrecy: of two survivors' common seed nothing is ever said.
            for other in lost:
                start = (1 + self.graph.number(survivor, other)) * KEY_BYTES
                pairs.append(shares[start : start + KEY_BYTES])
        return UnmaskAnswer(
            context=self.context,
            member=self.client_id,
            unopened=tuple(unopened),
            own=b"".join(own),
            pairs=b"".join(pairs),
        )

    def _told_masks(self, survivors: frozenset[str], dimension: int, bits: int) -> UnmaskAnswer:
        me = self.client_id
        total: Words = np.zeros(dimension, dtype=word(bits))
        # Secrecy: one sum over all survivors; it hides each as long as another honest one is there.
        add_masks(total, [mask_key(self._with_client(name, me)) for name in sorted(survivors)])
        total &= total.dtype.type((1 << bits) - 1)
        return UnmaskAnswer(context=self.context, member=me, masks=pack(total, bits))

    def _seeds(self, own: bytes) -> Sequence[bytes]:
        """Its own, and that with each neighbour."""
        me, bound = self.client_id, self.context
        others = self.graph.neighbours(me)
        return [own, *(pair_seed(self.secret(other), bound, me, other) for other in others)]

    def _with_helper(self, client: str, helper: str) -> bytes:
        return helper_seed(self.secret(helper), self.context, client, helper)

    def _with_client(self, client: str, helper: str) -> bytes:
        return helper_seed(self.secret(client), self.context, client, helper)

    def _derived(self, sender: str, receiver: str, count: int) -> bytes:
        other = receiver if sender == self.client_id else sender
        return derived_shares(self.secret(other), self.context, sender, receiver, count)

    def _held(self, survivor: str, ciphertext: bytes) -> bytes | None:
        """This member's shares of the survivor's seeds; None: it sealed something else."""
        count = 1 + self.graph.parameters.degree
        if self.client_id in self.graph.derived:
            return self._derived(survivor, self.client_id, count)
        try:
            content = opened(
                self.secret(survivor), self.context, survivor, self.client_id, ciphertext
            )
        except AggregationRefused as error:
            if error.reason != Refusal.CIPHERTEXT_OF_ANOTHER_CONTEXT:
                raise
            return None
        return content if is_shares(content, count) else None
