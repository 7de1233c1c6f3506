"""Sampling is Poisson: independent inclusion at exactly the public rate."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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

    __slots__ = ("rest", "script")

    def __init__(self, words: list[int], rest: list[float]) -> None:
        super().__init__(bytes(32))
        self.script, self.rest = words, rest

    def take(self, count: int) -> bytearray:
        """The words."""
        found = bytearray(np.array(self.script, dtype="<u2").tobytes())
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
        patch.setattr(sampling, "_RARE", 0.0)
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


@pytest.mark.parametrize(
    ("count", "rate"), [(2**15, 1 / 32), (10**6, 1e-4), (10**5, 1e-9), (4, 0.03), (10**4, 1e-300)]
)
def test_the_size_of_a_small_sample_is_binomial(count: int, rate: float) -> None:
    """As far as an independent library's numbers are right, and their sum is 1."""
    least, ends = sampling._sizes(count, rate)
    sizes = least + np.arange(len(ends))
    found = ends.astype(np.float64) * 2.0**-64
    assert np.abs(found - stats.binom.cdf(sizes, count, rate)).max(initial=0.0) < 1e-12
    assert stats.binom.cdf(least - 1, count, rate) < 1e-25
    assert stats.binom.sf(least + len(ends), count, rate) < 1e-25
    assert (np.diff(ends.astype(object)) >= 0).all()


def is_drawn(samples: list[set[int]], count: int, rate: float) -> bool:
    """Whether sizes are binomial, members at the rate, and two given ones independent."""
    sizes = np.array([len(sample) for sample in samples])
    middle = int(count * rate)
    few = float(stats.binom.cdf(middle, count, rate))
    half = sum(place < count // 2 for sample in samples for place in sample)
    pairs = sum({0, count - 1} <= sample for sample in samples)
    return (
        has_rate(int(sizes.sum()), count * len(sizes), rate)
        and has_rate(int((sizes <= middle).sum()), len(sizes), few)
        and has_rate(int((sizes == middle).sum()), len(sizes), stats.binom.pmf(middle, count, rate))
        and has_rate(half, int(sizes.sum()), 0.5)
        and has_rate(sum(0 in sample for sample in samples), len(samples), rate)
        and has_rate(pairs, len(samples), rate * rate)
    )


@pytest.mark.statistical
@pytest.mark.parametrize("planted", ["none", "fixed", "repeated", "first half"])
def test_few_of_many_are_a_poisson_sample(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty; a fixed size, members that are drawn twice, and a bias are noticed."""
    count, rate, trials = 40, 1 / 8, 20_000
    monkeypatch.setattr(sampling, "_MANY", 1)
    monkeypatch.setattr(sampling, "_RARE", 1 / 8)
    if planted == "fixed":
        monkeypatch.setattr(sampling, "_sizes", lambda *_: (5, np.zeros(0, dtype=np.uint64)))
    if planted == "first half":
        below = sampling._below
        monkeypatch.setattr(
            sampling,
            "_below",
            lambda c, n, s: below(c, n, s) if s.words(1)[0] % 8 else below(20, n, s),
        )
    drawn = [
        poisson_sample(count, rate, stream=SeededRandomness(8).stream("s", i))
        for i in range(trials)
    ]
    if planted == "repeated":  # as if whoever came twice took two places
        generator = np.random.default_rng(0)
        drawn = [generator.integers(0, count, len(sample)) for sample in drawn]
    assert is_drawn([set(map(int, sample)) for sample in drawn], count, rate) == (planted == "none")
    if planted == "none":
        assert all((np.diff(sample) > 0).all() and sample.dtype == np.int64 for sample in drawn)


def test_words_that_would_favour_somebody_are_passed_over() -> None:
    """Of 2⁶⁴ words, those beyond the last whole multiple; of a power of two none."""
    last = 2**64 - 1

    class Words(RandomStream):
        def words(self, count: int) -> np.ndarray:
            return np.array([last, 7, last - 1, 11][:count], dtype=np.uint64)

    assert sampling._below(2**15, 4, Words(bytes(32))).tolist() == [2**15 - 1, 7, 2**15 - 2, 11]
    assert last % 10 == 5  # ...615: six words too many for tens
    assert sampling._below(10, 4, Words(bytes(32))).tolist() == [7, 1]


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
