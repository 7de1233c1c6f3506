"""Sampling is Poisson: independent inclusion at exactly the public rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dp.randomness import SeededRandomness
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
