"""A witness adds whole units to a sum with shared noise; without one nothing is added or seen."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pytest

from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.dp.witness import Contribution, Place, Witness, watched_by
from shared.secagg.encoding import Encoding, update_encoding
from shared.secagg.quantization import Vector
from shared.secagg.ring import Integers
from shared.secagg.witnessed import encode_witnessed, show_sum

D, N = 200, 5
CONTEXT = b"c" * 32
PLACE = Place(client_id="site-000001", round_number=2, step=1)
UNITS = ["record", "client"]
ADDED = Contribution(np.array([3, 7, 90]), np.array([1.0, 0.0, -1.0]))


@dataclass
class Recorder:
    """Adds `added`, and keeps what it is told and sees."""

    added: Contribution | None
    others: list[Vector] = field(default_factory=list)
    sums: list[tuple[tuple[str, ...], Vector, float]] = field(default_factory=list)

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """`added`."""
        assert (place, dimension) == (PLACE, D)
        return self.added

    def saw(self, *seen: object) -> None:
        """Never: this is of noise that one party adds."""
        raise AssertionError(seen)

    def told(self, place: Place, others: Vector) -> None:
        """Keep them."""
        assert place == PLACE
        self.others.append(others)

    def saw_sum(
        self, place: Place, clients: Collection[str], noisy: Vector, noise_multiplier: float
    ) -> None:
        """Keep it."""
        assert place == PLACE
        self.sums.append((tuple(clients), noisy, noise_multiplier))


class Whole(Witness):
    """Takes part in sums whose noise one party adds, and in no others."""

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """Never."""
        raise AssertionError(place, dimension)

    def saw(self, *seen: object) -> None:
        """Never."""
        raise AssertionError(seen)


def encoding_of(unit: str, **more: Scalar) -> Encoding:
    """Of a round of five clients."""
    raw: dict[str, Scalar] = {
        "privacy.unit": unit, "privacy.noise": "distributed", "population.size": N,
        "privacy.delta": 1e-3, "aggregation.dropped_fraction": 0.2,
    }  # fmt: skip
    raw |= {key.replace("__", "."): value for key, value in more.items()}
    return update_encoding(PrivacyPlan.from_config(RunConfig.from_run_config(raw)), D, N)


def streams() -> tuple[RandomStream, RandomStream]:
    """Of rounding and noise; the same at each call."""
    source = SeededRandomness(1)
    return source.stream("rounding"), source.stream("noise_share")


def vector_of(encoding: Encoding) -> Vector:
    """A client's, of half the norm that it may have."""
    vector = np.random.default_rng(2).standard_normal(D)
    return vector * (0.5 * encoding.signal_bound / np.linalg.norm(vector))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("witness", [None, Whole(), Recorder(None)])
def test_where_nothing_is_added_it_is_encode_itself(unit: str, witness: Witness | None) -> None:
    """No witness, one of another kind, one that adds nothing: the very same integers."""
    encoding = encoding_of(unit)
    vector = vector_of(encoding)
    plain = encoding.encode(vector, CONTEXT, *streams())
    if witness is None:
        found = encode_witnessed(encoding, vector, CONTEXT, *streams(), place=PLACE)
        show_sum(encoding, vector, ["a"], place=PLACE)
    else:
        with watched_by(witness):
            found = encode_witnessed(encoding, vector, CONTEXT, *streams(), place=PLACE)
    assert (found == plain).all()


@pytest.mark.parametrize("unit", UNITS)
def test_no_witness_takes_part_in_a_query_or_in_a_sum_without_shared_noise(unit: str) -> None:
    """It is neither told anything nor shown anything."""
    recorder = Recorder(ADDED)
    shared = encoding_of(unit)
    whole = encoding_of(unit, privacy__noise="whole", secure_aggregation="on")
    vector = vector_of(shared)
    with watched_by(recorder):
        encode_witnessed(shared, vector, CONTEXT, *streams(), place=None)
        encode_witnessed(whole, vector_of(whole), CONTEXT, *streams(), place=PLACE)
        show_sum(whole, vector, ["a"], place=PLACE)
    assert recorder.others == recorder.sums == []


def test_a_record_is_added_before_the_cut_the_rounding_and_the_noise() -> None:
    """As if the site had held it; the witness is told of what the site gives without it."""
    encoding, recorder = encoding_of("record"), Recorder(ADDED)
    vector = vector_of(encoding)
    with watched_by(recorder):
        found = encode_witnessed(encoding, vector, CONTEXT, *streams(), place=PLACE)
    moved = vector.copy()
    moved[[3, 90]] += [encoding.unit_bound, -encoding.unit_bound]
    assert (found == encoding.encode(moved, CONTEXT, *streams())).all()
    assert recorder.others[0] == pytest.approx(vector / encoding.unit_bound)


def test_what_is_told_is_cut_as_the_client_cuts_it() -> None:
    """Of a vector that is too long, the part that goes into the sum."""
    encoding, recorder = encoding_of("client"), Recorder(None)
    with watched_by(recorder):
        encode_witnessed(encoding, np.full(D, 9.0), CONTEXT, *streams(), place=PLACE)
    assert np.linalg.norm(recorder.others[0]) == pytest.approx(1.0)


def test_each_client_that_is_added_is_rounded_within_the_sensitivity_and_has_no_noise() -> None:
    """The client that it comes with gives the same integers as ever."""
    encoding = encoding_of("client")
    vector = vector_of(encoding)
    plain = encoding.encode(vector, CONTEXT, *streams())

    def members(added: Contribution) -> Integers:
        with watched_by(Recorder(added)):
            found = encode_witnessed(encoding, vector, CONTEXT, *streams(), place=PLACE)
        return np.subtract(found, plain)

    one = members(Contribution(np.array([3]), np.array([1.0])))
    assert 0.99 * encoding.scale * encoding.unit_bound < np.linalg.norm(one) <= encoding.sensitivity
    both = members(ADDED)
    expected = np.zeros(D)
    expected[[3, 90]] = [1.0, -1.0]
    rounded = math.sqrt(2 * encoding.length / 4) / (encoding.scale * encoding.unit_bound)
    error = encoding.decode(both, CONTEXT) / encoding.unit_bound - expected
    assert np.linalg.norm(error) < 1.5 * rounded


@pytest.mark.parametrize("unit", UNITS)
def test_the_sum_is_seen_in_units_of_the_bound_with_the_noise_that_it_has(unit: str) -> None:
    """The fewest honest survivors carry the plan's noise, and more carry more."""
    encoding, recorder = encoding_of(unit), Recorder(None)
    total: Vector = np.arange(D, dtype=np.float64) * encoding.unit_bound
    names = [f"site-{index}" for index in range(N)]
    with watched_by(recorder):
        show_sum(encoding, total, names[: encoding.honest], place=PLACE)
        show_sum(encoding, total, names, place=PLACE)
    (fewest, seen, least), (_, _, most) = recorder.sums
    assert fewest == tuple(names[: encoding.honest])
    assert seen == pytest.approx(np.arange(D))
    planned = encoding.noise_multiplier * (1.0 + encoding.inflation)
    assert planned <= least == pytest.approx(planned, rel=0.01)
    assert most == pytest.approx(least * math.sqrt(N / encoding.honest))
