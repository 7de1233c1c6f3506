"""Sampling is Poisson: independent inclusion at exactly the public rate."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dp import sampling
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.dp.sampling import cohort_cap, poisson_sample, truncated_poisson_sample
from shared.errors import ConfigurationError
from tests.significance import has_rate
from tests.strategies import sample_rates, seeds

TRIALS = 4000


@given(seeds, st.integers(0, 300), sample_rates)
def test_a_sample_is_ascending_distinct_and_in_range(seed: int, count: int, rate: float) -> None:
    """Also for an empty population."""
    drawn = poisson_sample(count, rate, stream=SeededRandomness(seed).stream("s"))
    assert (np.diff(drawn) > 0).all()
    assert ((drawn >= 0) & (drawn < count)).all()


def test_rate_one_takes_all() -> None:
    """q = 1 leaves nobody out."""
    assert len(poisson_sample(1000, 1.0, stream=SeededRandomness(0).stream("s"))) == 1000


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, np.nan])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    """(0, 1]."""
    with pytest.raises(ConfigurationError, match="sample_rate"):
        poisson_sample(3, rate, stream=SeededRandomness(0).stream("s"))


def is_poisson(sizes: list[int], pairs: int) -> bool:
    """Whether inclusions are at rate 0.3 of 10 and two given elements are independent."""
    empty = sum(size <= 1 for size in sizes)
    few = 0.7**10 + 10 * 0.3 * 0.7**9
    return (
        has_rate(sum(sizes), 10 * len(sizes), 0.3)
        and has_rate(pairs, len(sizes), 0.09)
        and has_rate(empty, len(sizes), few)
    )


@pytest.mark.statistical
def test_inclusions_are_independent_and_at_the_rate() -> None:
    """Mean, spread of the size, and a pair of elements."""
    samples = [
        set(poisson_sample(10, 0.3, stream=SeededRandomness(5).stream("s", i)).tolist())
        for i in range(TRIALS)
    ]
    assert is_poisson([len(s) for s in samples], sum({0, 1} <= s for s in samples))


@pytest.mark.statistical
def test_sampling_a_fixed_number_would_be_noticed() -> None:
    """Without replacement the mean is right, and the sizes give it away."""
    generator = np.random.default_rng(0)
    samples = [set(generator.choice(10, 3, replace=False).tolist()) for _ in range(TRIALS)]
    assert not is_poisson([len(s) for s in samples], sum({0, 1} <= s for s in samples))


@pytest.mark.statistical
def test_above_the_cap_whoever_is_dropped_is_drawn_uniformly() -> None:
    """Nobody's name is an advantage."""
    kept = [
        truncated_poisson_sample(6, 1.0, 2, stream=SeededRandomness(6).stream("s", i))
        for i in range(TRIALS)
    ]
    assert all(len(sample) == 2 for sample in kept)
    assert all(sample[0] < sample[1] for sample in kept)
    for element in range(6):
        assert has_rate(sum(element in sample for sample in kept), TRIALS, 1 / 3)


def test_below_the_cap_nothing_is_dropped() -> None:
    """The same stream gives the same sample with and without a cap that does not bind."""
    both = [
        truncated_poisson_sample(50, 0.2, 50, stream=SeededRandomness(7).stream("s")),
        poisson_sample(50, 0.2, stream=SeededRandomness(7).stream("s")),
    ]
    assert both[0].tolist() == both[1].tolist()


def test_a_cap_of_nobody_is_refused() -> None:
    """It would hide everybody."""
    with pytest.raises(ConfigurationError, match="cap"):
        truncated_poisson_sample(3, 0.5, 0, stream=SeededRandomness(0).stream("s"))


@pytest.mark.parametrize(
    ("population", "rate", "cap"), [(1000, 0.1, 157), (20, 1.0, 20), (10, 0.5, 10), (1, 0.01, 1)]
)
def test_the_cap_is_mean_plus_six_deviations(population: int, rate: float, cap: int) -> None:
    """Never above the population."""
    assert cohort_cap(population, rate) == cap


class Scripted(RandomStream):
    """Two bytes for each, and then the rest of those that are undecided."""

    __slots__ = ("rest", "words")

    def __init__(self, words: list[int], rest: list[float]) -> None:
        super().__init__(bytes(32))
        self.words, self.rest = words, rest

    def take(self, count: int) -> bytearray:
        """The words."""
        found = bytearray(np.array(self.words, dtype="<u2").tobytes())
        assert len(found) == count
        return found

    def uniform(self, count: int) -> np.ndarray:
        """The rest."""
        assert len(self.rest) == count
        return np.array(self.rest)


@given(
    st.lists(st.integers(0, 2**16 - 1), min_size=20, max_size=20),
    st.lists(st.integers(0, 2**53 - 1), min_size=20, max_size=20),
    st.one_of(sample_rates, st.integers(1, 2**16).map(lambda k: k / 2**16)),
)
def test_of_many_the_same_numbers_are_compared(
    words: list[int], rest: list[int], rate: float
) -> None:
    """In exact arithmetic: (w + v) / 2^16 < q, whichever part of it was looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "_MANY", 1)
        whole = math.floor(rate * 2**16)
        words = [whole if place % 3 == 0 and whole < 2**16 else w for place, w in enumerate(words)]
        unit = Fraction(1, 2**53)
        below = [
            Fraction(w) + r * unit < Fraction(rate) * 2**16
            for w, r in zip(words, rest, strict=True)
        ]
        undecided = [float(r * unit) for w, r in zip(words, rest, strict=True) if w == whole]
        drawn = poisson_sample(20, rate, stream=Scripted(words, undecided))
    assert drawn.tolist() == [place for place, is_below in enumerate(below) if is_below]


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [1.9 / 2**16, 0.1234567, 0.5])
def test_of_many_each_is_drawn_at_the_rate(rate: float) -> None:
    """Of twenty million."""
    count, times = 10**6, 20
    drawn = sum(
        len(poisson_sample(count, rate, stream=SeededRandomness(6).stream("s", i)))
        for i in range(times)
    )
    assert has_rate(drawn, count * times, rate)


@pytest.mark.statistical
def test_two_bytes_alone_would_be_noticed() -> None:
    """At 1.9 of 65,536 they would draw about half of whom they should."""
    count, rate = 20 * 10**6, 1.9 / 2**16
    words = np.frombuffer(SeededRandomness(6).stream("s").take(2 * count), dtype="<u2")
    assert not has_rate(int((words < math.floor(rate * 2**16)).sum()), count, rate)
