"""Partitions: disjoint, complete, repeatable, and as skewed as asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config_sections import PopulationConfig
from shared.errors import ConfigurationError
from shared.partition import PartitionSpec, partition, partition_spec

LABELS = np.arange(600) % 10


@given(
    st.sampled_from(["iid", "dirichlet", "shards", "quantity"]),
    st.integers(1, 30),
    st.sampled_from([0, 2, 7, 20]),
    st.integers(0, 2**32),
)
def test_parts_are_disjoint_and_cover_the_pool(
    scheme: str, clients: int, each: int, seed: int
) -> None:
    """Every example of the (cut) pool belongs to exactly one client, every time the same."""
    spec = PartitionSpec(scheme=scheme, clients=clients, examples_per_client=each, seed=seed)
    parts = partition(LABELS, spec)
    together = np.concatenate(parts)
    assert len(parts) == clients
    assert len(set(together.tolist())) == len(together) == (clients * each or len(LABELS))
    assert all((np.diff(part) > 0).all() for part in parts)
    again = partition(LABELS, spec)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


@given(st.integers(1, 50))
def test_iid_parts_differ_by_one_example_at_most(clients: int) -> None:
    """Equal sizes."""
    sizes = [len(p) for p in partition(LABELS, PartitionSpec(clients=clients))]
    assert max(sizes) - min(sizes) <= 1


def test_shards_give_a_client_few_labels() -> None:
    """Two shards hold at most two or three labels, where IID holds ten."""
    spec = PartitionSpec(scheme="shards", clients=30, shards_per_client=2)
    assert max(len(set(LABELS[part])) for part in partition(LABELS, spec)) <= 4
    assert min(len(set(LABELS[p])) for p in partition(LABELS, PartitionSpec(clients=10))) >= 9


def test_a_small_alpha_skews_labels_and_sizes() -> None:
    """Dirichlet(0.05) by label, and by quantity."""
    skewed = partition(LABELS, PartitionSpec(scheme="dirichlet", clients=10, alpha=0.05))
    even = partition(LABELS, PartitionSpec(scheme="dirichlet", clients=10, alpha=1000.0))

    def most(parts: tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]) -> float:
        shares = [np.bincount(LABELS[p], minlength=10).max() / len(p) for p in parts if len(p)]
        return float(np.mean(shares))

    assert most(skewed) > 2 * most(even)
    sizes = [
        len(p) for p in partition(LABELS, PartitionSpec(scheme="quantity", clients=10, alpha=0.1))
    ]
    assert max(sizes) > 3 * 60


def test_the_natural_partition_keeps_each_value_whole() -> None:
    """Whoever has a value has all of it."""
    column = np.array(list("aabbccddee") * 60)
    parts = partition(LABELS, PartitionSpec(scheme="natural", clients=3), column=column)
    owners = [set(column[part]) for part in parts]
    assert set.union(*owners) == set("abcde")
    assert sum(len(owner) for owner in owners) == 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PartitionSpec(clients=601), "at least 601 examples"),
        (PartitionSpec(clients=10, examples_per_client=61), "at least 610 examples"),
        (PartitionSpec(scheme="shards", clients=400, shards_per_client=2), "800 shards"),
        (PartitionSpec(scheme="natural", clients=2), r"needs population\.column"),
        (PartitionSpec(scheme="by-name", clients=2), "partition must be one of"),
    ],
)
def test_an_impossible_split_is_refused(spec: PartitionSpec, message: str) -> None:
    """With what was needed and what there is."""
    with pytest.raises(ConfigurationError, match=message):
        partition(LABELS, spec)


@pytest.mark.parametrize("length", [0, 599, 601])
def test_a_column_of_another_length_is_refused(length: int) -> None:
    """It would give examples to the wrong client."""
    spec = PartitionSpec(scheme="natural", clients=2)
    with pytest.raises(ConfigurationError, match=f"column of 600 values.*got {length}"):
        partition(LABELS, spec, column=np.zeros(length))


def test_more_clients_than_values_is_refused() -> None:
    """Nobody's value is split between clients."""
    with pytest.raises(ConfigurationError, match="at least 3 values"):
        partition(LABELS, PartitionSpec(scheme="natural", clients=3), column=LABELS % 2)


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "shards", "quantity", "natural"])
def test_a_hundred_thousand_clients_are_possible(scheme: str) -> None:
    """As many as there are examples, under every scheme."""
    everyone = np.arange(100_000)
    spec = PartitionSpec(scheme=scheme, clients=len(everyone), shards_per_client=1)
    parts = partition(everyone % 10, spec, column=everyone[::-1])
    assert len(parts) == len(everyone)
    assert np.array_equal(np.sort(np.concatenate(parts)), everyone)


@given(st.integers(1, 30), st.integers(1, 10), st.integers(0, 2**32))
def test_shards_give_every_client_the_same_number_up_to_one_a_shard(
    clients: int, shards: int, seed: int
) -> None:
    """Every shard is of 600 / (clients × shards) examples, rounded down or up."""
    spec = PartitionSpec(scheme="shards", clients=clients, shards_per_client=shards, seed=seed)
    sizes = np.array([len(part) for part in partition(LABELS, spec)])
    each = 600 / (clients * shards)
    assert (sizes >= shards * np.floor(each)).all()
    assert (sizes <= shards * np.ceil(each)).all()


def test_the_configuration_s_split_is_taken_over() -> None:
    """Field by field."""
    config = PopulationConfig(
        size=7,
        partition="shards",
        examples_per_client=3,
        alpha=2.0,
        shards_per_client=4,
        partition_seed=9,
    )
    assert partition_spec(config) == PartitionSpec(
        scheme="shards", clients=7, examples_per_client=3, alpha=2.0, shards_per_client=4, seed=9
    )
