"""Canaries in sums whose noise all clients share: what the server of secure aggregation can find.

Record level: canary records are dealt out to the sites, and each is added to what its site sends,
after the clip and before the cut. Client level: each canary is a client of its own in every round,
whose vector of norm C is encoded without a share of the noise and summed with the others'; since
all are told who is asked, no draw amplifies the claim (docs/adr/0013).

The attacker sees each unmasked sum and knows what every survivor gave, but neither its share of
the noise nor how its numbers were rounded.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from client.site import demonstration_name
from shared.config import RunConfig
from shared.dp.mechanisms import ClientPrivacy
from shared.dp.randomness import Randomness
from shared.dp.witness import Contribution, Place
from simulations.audits.bounds import Scores
from simulations.audits.canaries import AUTOMATIC, Canaries, Group

# A canary client is encoded anew in each round: as many as come to this many numbers a round.
_ENCODED, _ENOUGH = 2**21, 100


@dataclass(slots=True)
class _Attempt:
    """What clients gave in one attempt at a round: by client, at the canaries' coordinates."""

    told: dict[str, Scores] = field(default_factory=dict)
    host: str = ""


class SharedNoiseCanaries(Canaries):
    """A witness that puts canaries into sums with shared noise, and scores them.

    Args:
        config: As `Canaries` takes it; its noise is distributed.
        randomness: Likewise.
    """

    _seen = "unmasked sum"
    _inserted = "after the clip, before rotation and rounding, and have no share of the noise"

    def __init__(self, config: RunConfig, randomness: Randomness | None = None) -> None:
        super().__init__(config, randomness)
        self._sums = 1
        self._clients = isinstance(self._mechanism, ClientPrivacy)
        self._sites = {demonstration_name(i): i for i in range(self._plan.population)}
        self._current = (0, 0)
        self._attempt = _Attempt()

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """±1 for each canary that comes with this client, is included and drawn."""
        started = time.perf_counter()
        group = self._group("", dimension)
        here = self._with(place.client_id, group)
        drawn = self._drawn(place, int(here.sum())) & group.included[here]
        self.seconds += time.perf_counter() - started
        return Contribution(group.indices[here], group.signs[here] * drawn) if here.any() else None

    def told(self, place: Place, others: NDArray[np.float64]) -> None:
        """Keep what a client gives where the canaries are; of the latest attempt alone."""
        if (place.round_number, place.attempt) != self._current:
            self._current = (place.round_number, place.attempt)
            self._attempt = _Attempt(host=place.client_id)
        group = self._group("", len(others))
        self._attempt.told[place.client_id] = others[group.indices]

    def saw_sum(
        self,
        place: Place,
        clients: Collection[str],
        noisy: NDArray[np.float64],
        noise_multiplier: float,
    ) -> None:
        """Score the canaries whose clients are in the sum; the others' are lost, as all know."""
        started = time.perf_counter()
        group = self._group("", len(noisy))
        told = self._attempt.told
        others = np.sum([told[name] for name in sorted(clients)], axis=0)
        present = np.zeros(len(group.indices), dtype=np.bool_)
        for name in clients:
            present |= self._with(name, group)
        signal = group.signs * (noisy[group.indices] - others)
        group.scores += np.where(present, self._gained(signal, noise_multiplier), 0.0)
        group.sums += 1
        self._rounds.add(place.round_number)
        self.seconds += time.perf_counter() - started

    def _with(self, client_id: str, group: Group) -> NDArray[np.bool_]:
        """Which canaries come with this client: those of its site; all with whoever is first."""
        if self._clients:
            return np.full(len(group.indices), client_id == self._attempt.host)
        dealt = np.arange(len(group.indices), dtype=np.int64) % len(self._sites)
        return np.equal(dealt, self._sites[client_id])

    def _count(self, dimension: int) -> int:
        count = super()._count(dimension)
        if not self._clients or self._asked != AUTOMATIC:
            return count
        length = 1 << (dimension - 1).bit_length()
        return min(count, max(_ENOUGH, _ENCODED // length))
