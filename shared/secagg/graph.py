"""Who masks with whom, and who may unmask: chosen by a public hash that nobody can steer.

The order of the cohort is a permutation keyed by the round's context. A server that tries cohorts
until it likes the outcome is counted in (`parameters.SECURITY`).

Source: Bell et al. 2020 (eprint 2020/704) for the circulant graph on a random order; Ma et al. 2023
(eprint 2023/486) for the committee.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from shared.secagg.parameters import AggregationParameters
from shared.secagg.transcript import digest


@dataclass(frozen=True, slots=True)
class RoundGraph:
    """The circle of a round's cohort and its committee.

    Attributes:
        parameters: Span, committee size and thresholds.
        order: The cohort around the circle.
        committee: In the order of their share places, 1..L.
        places: Where on the circle each client is.
    """

    parameters: AggregationParameters
    order: tuple[str, ...]
    committee: tuple[str, ...]
    places: dict[str, int]

    def neighbours(self, client: str) -> tuple[str, ...]:
        """Whom `client` masks with: `span` clients on each side, or everybody else."""
        if self.parameters.complete:
            return tuple(other for other in self.order if other != client)
        place, size = self.places[client], len(self.order)
        steps = range(1, self.parameters.span + 1)
        offsets = [*(-step for step in reversed(steps)), *steps]
        return tuple(self.order[(place + offset) % size] for offset in offsets)

    @property
    def derived(self) -> tuple[str, ...]:
        """Members whose shares are derived and not sent: all below the threshold."""
        return self.committee[: self.parameters.threshold - 1]

    @property
    def sealed(self) -> tuple[str, ...]:
        """Members whose shares are sent to them under seal."""
        return self.committee[self.parameters.threshold - 1 :]

    def number(self, client: str, other: str) -> int:
        """Place of a neighbour in `neighbours(client)`."""
        here, there, size = self.places[client], self.places[other], len(self.order)
        if self.parameters.complete:
            return there - (there > here)
        span, ahead = self.parameters.span, (there - here) % size
        return span + ahead - 1 if ahead <= span else span - (size - ahead)

    def undone(self, survivors: Collection[str]) -> dict[str, list[str]]:
        """Each survivor's neighbours that are none, ascending: whose masks are left in the sum."""
        found: dict[str, list[str]] = {survivor: [] for survivor in sorted(survivors)}
        for dropped in sorted(self.places.keys() - found.keys()):
            for survivor in self.neighbours(dropped):
                if survivor in found:
                    found[survivor].append(dropped)
        return found

    def connected(self, survivors: Collection[str]) -> bool:
        """Whether each `span` clients in a row hold enough survivors for an honest one."""
        if self.parameters.complete:
            return True
        alive = [client in survivors for client in self.order]
        span, size = self.parameters.span, len(alive)
        inside = sum(alive[:span])
        for start in range(size):
            if inside < self.parameters.present:
                return False
            inside += alive[(start + span) % size] - alive[start]
        return True


@lru_cache(maxsize=4)
def round_graph(
    cohort: tuple[str, ...],
    context: bytes,
    parameters: AggregationParameters,
    helpers: tuple[str, ...] = (),
) -> RoundGraph:
    """The graph of this context: the same for every party; `helpers` are the committee, if any."""
    order = sorted(cohort, key=lambda client: digest("circle", context, client))
    ranked = sorted(cohort, key=lambda client: digest("committee", context, client))
    return RoundGraph(
        parameters,
        tuple(order),
        helpers or tuple(ranked[: parameters.committee_size]),
        {client: place for place, client in enumerate(order)},
    )
