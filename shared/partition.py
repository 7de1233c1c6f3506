"""Who holds what in a demonstration: one pool of examples shared out among sites.

It lies in `shared/`, not in `simulations/`, because the SuperNodes of a demonstration share out
one data set too (docs/adr/0007). A seeded generator is right here: a split is public, and no
privacy rests on it.

Source: McMahan et al. 2017 (shards by label); Hsu, Qi & Brown 2019 (Dirichlet over labels); Li et
al. 2022, "Federated learning on non-IID data silos" (quantity skew, and Dirichlet by label: the
variant used here, where each label's examples are divided by one draw over the clients).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.config_sections import PopulationConfig
from shared.errors import ConfigurationError

Indices = NDArray[np.int64]
Parts = tuple[Indices, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """How one pool of examples is shared out among `clients` sites.

    Attributes:
        scheme: iid, dirichlet, shards, quantity or natural.
        clients: Number of sites.
        examples_per_client: The pool is cut to `clients` times this; 0 = the whole pool.
        alpha: Concentration of the Dirichlet draws; small is uneven.
        shards_per_client: Label shards for each site.
        seed: Of the split.
    """

    scheme: str = "iid"
    clients: int
    examples_per_client: int = 0
    alpha: float = 0.5
    shards_per_client: int = 2
    seed: int = 0


def partition_spec(config: PopulationConfig) -> PartitionSpec:
    """The split that a configuration asks for."""
    return PartitionSpec(
        scheme=config.partition,
        clients=config.size,
        examples_per_client=config.examples_per_client,
        alpha=config.alpha,
        shards_per_client=config.shards_per_client,
        seed=config.partition_seed,
    )


def partition(
    labels: NDArray[np.int64], spec: PartitionSpec, *, column: NDArray[np.generic] | None = None
) -> Parts:
    """Disjoint, ascending index arrays, one for each client; together the (cut) pool.

    Deterministic in `spec`. iid and shards give equal sizes up to one example or shard;
    dirichlet and quantity may leave a client with no example at all.

    Args:
        labels: Label of each example of the pool, shape (n,).
        spec: The split.
        column: Value of each example that says whose it is, for the natural split.

    Raises:
        ConfigurationError: unknown scheme, more clients than examples or than values of the
            column, or a natural split without a column that has one value an example.
    """
    generator = np.random.default_rng(spec.seed)
    pool = _pool(len(labels), spec, generator)
    if spec.scheme == "natural":
        return _natural(pool, spec, column, len(labels))
    if spec.scheme not in _SCHEMES:
        raise ConfigurationError(
            f"partition must be one of {', '.join([*_SCHEMES, 'natural'])}, got {spec.scheme!r}"
        )
    parts = _SCHEMES[spec.scheme](pool, labels, spec, generator)
    return tuple(np.sort(part) for part in parts)


def _pool(count: int, spec: PartitionSpec, generator: np.random.Generator) -> Indices:
    wanted = spec.clients * spec.examples_per_client or count
    if wanted > count or spec.clients > count:
        raise ConfigurationError(
            f"expected at least {max(wanted, spec.clients)} examples for {spec.clients} clients "
            f"of {spec.examples_per_client or 'at least 1'}, got {count}; lower population.size "
            "or population.examples_per_client (0 = share out what there is)"
        )
    return generator.permutation(count)[:wanted].astype(np.int64)


def _iid(
    pool: Indices, labels: NDArray[np.int64], spec: PartitionSpec, generator: np.random.Generator
) -> list[Indices]:
    del labels, generator  # the pool is shuffled already
    return np.array_split(pool, spec.clients)


def _dirichlet(
    pool: Indices, labels: NDArray[np.int64], spec: PartitionSpec, generator: np.random.Generator
) -> list[Indices]:
    owner = np.empty(len(pool), dtype=np.int64)
    for label in np.unique(labels[pool]):
        members = np.flatnonzero(labels[pool] == label)
        owner[members] = _owners(len(members), spec, generator)
    return _by_owner(pool, owner, spec.clients)


def _quantity(
    pool: Indices, labels: NDArray[np.int64], spec: PartitionSpec, generator: np.random.Generator
) -> list[Indices]:
    del labels
    return _by_owner(pool, _owners(len(pool), spec, generator), spec.clients)


def _shards(
    pool: Indices, labels: NDArray[np.int64], spec: PartitionSpec, generator: np.random.Generator
) -> list[Indices]:
    count = spec.clients * spec.shards_per_client
    if count > len(pool):
        raise ConfigurationError(
            f"expected at least {count} examples for {count} shards, got {len(pool)}"
        )
    by_label = pool[np.argsort(labels[pool], kind="stable")]
    bounds = np.linspace(0, len(pool), count + 1).astype(np.int64)
    dealt = generator.permutation(count).reshape(spec.clients, spec.shards_per_client)
    return [
        np.concatenate([by_label[bounds[shard] : bounds[shard + 1]] for shard in hand])
        for hand in dealt
    ]


def _natural(
    pool: Indices, spec: PartitionSpec, column: NDArray[np.generic] | None, count: int
) -> Parts:
    if column is None:
        raise ConfigurationError("the natural partition needs population.column, got none")
    if len(column) != count:
        raise ConfigurationError(
            f"expected a column of {count} values, one an example, got {len(column)}"
        )
    values, owner = np.unique(column[pool], return_inverse=True)
    if len(values) < spec.clients:
        raise ConfigurationError(
            f"expected at least {spec.clients} values in the column, one a client, got "
            f"{len(values)}"
        )
    # More values than clients: whole values are dealt out in their order, so none is split.
    parts = _by_owner(pool, owner.astype(np.int64) % spec.clients, spec.clients)
    return tuple(np.sort(part) for part in parts)


def _owners(count: int, spec: PartitionSpec, generator: np.random.Generator) -> Indices:
    """Owner of each of `count` examples: contiguous runs with Dirichlet-distributed lengths."""
    shares = generator.dirichlet(np.full(spec.clients, spec.alpha))
    bounds = np.minimum(np.round(np.cumsum(shares) * count), count)[:-1]
    return np.searchsorted(bounds, np.arange(count), side="right").astype(np.int64)


def _by_owner(pool: Indices, owner: Indices, clients: int) -> list[Indices]:
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=clients))[:-1]
    return np.split(pool[order], ends)


_Scheme = Callable[[Indices, NDArray[np.int64], PartitionSpec, np.random.Generator], list[Indices]]
_SCHEMES: dict[str, _Scheme] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "shards": _shards,
    "quantity": _quantity,
}
