"""Rounds of secure aggregation without any transport."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.masking import Announced, Masked, Membership, Ready
from server.unmasking import Collecting, Unmasking
from shared.secagg.exchange import RoundContext
from shared.secagg.keys import SignedKey
from shared.secagg.parameters import AggregationParameters, parameters_for
from shared.secagg.ring import Integers

PLAN, RUN = "plan", "run"


_IDENTITIES: defaultdict[str, Ed25519PrivateKey] = defaultdict(Ed25519PrivateKey.generate)


def identity(client: str) -> Ed25519PrivateKey:
    """Of a client that is enrolled; the same in every test."""
    return _IDENTITIES[client]


def public(client: str) -> bytes:
    """What the roster says of it."""
    return identity(client).public_key().public_bytes_raw()


@dataclass(frozen=True)
class Clients:
    """A run's clients after the setup."""

    ready: Mapping[str, Ready]
    keys: tuple[SignedKey, ...]
    enrolled: Mapping[str, bytes]
    fractions: tuple[float, float]
    helpers: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Ascending."""
        return tuple(sorted(self.ready))

    def context(self, cohort: Iterable[str] | None = None, **changed: Any) -> RoundContext:
        """Of the first attempt at the first round, but for what is changed."""
        first = self.ready[self.names[0]]
        values: dict[str, Any] = {
            "run_id": first.book.run_id,
            "plan": PLAN,
            "roster": first.book.digest,
            "model": b"model",
            "kind": "train",
            "round_number": 1,
            "attempt": 1,
            "cohort": self.names if cohort is None else tuple(cohort),
            "bits": 20,
        }
        return RoundContext(**(values | changed))

    def parameters(self, cohort_size: int) -> AggregationParameters:
        """Of a cohort of this size."""
        enrolled, helpers = len(self.enrolled), len(self.helpers)
        return parameters_for(cohort_size, enrolled, *self.fractions, helpers)

    def masked(self, context: RoundContext, vectors: Mapping[str, Integers]) -> dict[str, Masked]:
        """Every client of the cohort after its upload."""
        return {name: self.ready[name].mask(context, vectors[name]) for name in context.cohort}

    def collected(
        self, context: RoundContext, masked: Mapping[str, Masked], dropped: Collection[str] = ()
    ) -> Unmasking:
        """The server after all uploads but those of `dropped`."""
        dimension = next(iter(masked.values())).dimension
        parameters = self.parameters(len(context.cohort))
        server = Collecting.of(context, dimension, self.enrolled, parameters, self.helpers)
        for name, stage in masked.items():
            if name not in dropped:
                server.add(stage.upload)
        return server.close()


def clients(
    count: int,
    *,
    run_id: str = RUN,
    fractions: tuple[float, float] = (0.1, 0.1),
    helpers: int = 0,
) -> Clients:
    """`count` clients that know one another's keys; the first `helpers` of them undo masks."""
    names = [f"client-{number:03d}" for number in range(count)]
    enrolled = {name: public(name) for name in names}
    announced = {
        name: Announced.new(
            Membership(
                client_id=name,
                identity=identity(name),
                enrolled=enrolled,
                corrupt_fraction=fractions[0],
                dropped_fraction=fractions[1],
                helpers=tuple(names[:helpers]),
            ),
            run_id,
            PLAN,
        )
        for name in names
    }
    keys = tuple(stage.announcement() for stage in announced.values())
    ready = {name: stage.admit(keys) for name, stage in announced.items()}
    return Clients(ready, keys, enrolled, fractions, tuple(names[:helpers]))


def vectors(names: Iterable[str], dimension: int, seed: int = 0) -> dict[str, Integers]:
    """Small whole numbers of both signs for each client."""
    generator = np.random.default_rng(seed)
    return {name: generator.integers(-99, 100, dimension) for name in names}


def answered(server: Unmasking, masked: Mapping[str, Masked], silent: Collection[str] = ()) -> None:
    """Have the committee answer, but for those that are silent."""
    for member in server.collected.graph.committee:
        if member not in silent:
            server.add(masked[member].unmask(server.request(member))[1])
