"""Integer noise has exactly its distribution; a sampler that is a little off is found out."""

import hashlib
import math
import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

from shared.dp.integer_noise import (
    WIDEST_GAUSSIAN,
    WIDEST_SKELLAM,
    _split,
    discrete_gaussian,
    skellam,
)
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError
from tests.significance import ALPHA

# A variance that is 2 % off is missed with probability below 1e-6 at this many samples.
SAMPLES = 400_000
Samples = NDArray[np.int64]


def fresh() -> RandomStream:
    """Of the operating system."""
    return RandomStream(os.urandom(32))


def gaussian_pmf(variance: int, places: Samples) -> NDArray[np.float64]:
    """By its definition, normalised over twelve deviations and more."""
    reach = int(12 * math.sqrt(variance)) + 12
    everything = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2.0 * variance)).sum()
    found: NDArray[np.float64] = np.exp(-(places**2) / (2.0 * variance)) / everything
    return found


def skellam_pmf(variance: int, places: Samples) -> NDArray[np.float64]:
    """e^-μ·I_k(μ), by scipy's Bessel function."""
    found: NDArray[np.float64] = special.ive(np.abs(places), float(variance))
    return found


def p_value(samples: Samples, pmf: NDArray[np.float64], places: Samples) -> float:
    """G-test; places that are expected less than ten times count together."""
    inside = samples[(samples >= places[0]) & (samples <= places[-1])]
    counts = np.bincount(inside - places[0], minlength=len(places)).astype(float)
    expected = pmf * len(samples)
    common = expected >= 10.0
    observed = np.append(counts[common], len(samples) - counts[common].sum())
    wanted = np.append(expected[common], len(samples) - expected[common].sum())
    kept = wanted > 0.0
    return float(stats.power_divergence(observed[kept], wanted[kept], lambda_=0).pvalue)


def places_of(variance: int) -> Samples:
    """Where the mass is."""
    reach = int(7 * math.sqrt(variance)) + 3
    return np.arange(-reach, reach + 1)


@pytest.mark.parametrize("variance", [1, 3, 100, 2500])
def test_a_discrete_gaussian_is_one(variance: int) -> None:
    """By a G-test of every value."""
    places = places_of(variance)
    samples = discrete_gaussian(variance, SAMPLES, fresh())
    assert p_value(samples, gaussian_pmf(variance, places), places) > ALPHA


@pytest.mark.parametrize("variance", [1, 10, 900, 10_000])
def test_a_skellam_is_one(variance: int) -> None:
    """Likewise; 10,000 is beyond where its recurrence starts further out."""
    places = places_of(variance)
    samples = skellam(variance, SAMPLES, fresh())
    assert p_value(samples, skellam_pmf(variance, places), places) > ALPHA


@pytest.mark.parametrize("variance", [90_001, 9 * 10**8, 10**12])
def test_a_wide_one_is_made_of_two(variance: int) -> None:
    """Variance, shape, and each residue of the step alike."""
    samples = discrete_gaussian(variance, SAMPLES, fresh())
    chi = stats.chi2(SAMPLES)
    total = float((samples.astype(float) ** 2).sum()) / variance
    assert min(chi.cdf(total), chi.sf(total)) > ALPHA / 2
    assert stats.kstest(samples / math.sqrt(variance), "norm").pvalue > ALPHA
    step, narrow, wide = _split(variance)
    assert narrow + step**2 * wide == variance
    assert math.sqrt(narrow * wide / variance) >= 3.0
    residues = np.bincount(samples % step, minlength=step)
    assert stats.chisquare(residues).pvalue > ALPHA


@pytest.mark.parametrize(
    "wrong",
    [
        lambda v, n, s: np.rint(s.gaussian(n) * math.sqrt(v)).astype(np.int64),
        lambda v, n, s: discrete_gaussian(v, n, s) + (s.uniform(n) < 0.02),
        lambda v, n, s: np.abs(discrete_gaussian(v, n, s)),
        skellam,
    ],
    ids=["a rounded float", "a shift", "one side", "another family"],
)
def test_another_distribution_is_found_out(wrong: object) -> None:
    """The test above would reject it."""
    samples = wrong(1, SAMPLES, fresh())  # type: ignore[operator]
    assert p_value(samples, gaussian_pmf(1, places_of(1)), places_of(1)) < ALPHA


def test_shares_of_skellam_add_up_to_one() -> None:
    """Closed under sums: eight of variance 25 are one of 200."""
    total = np.sum([skellam(25, SAMPLES // 2, fresh()) for _ in range(8)], axis=0)
    assert p_value(total, skellam_pmf(200, places_of(200)), places_of(200)) > ALPHA


def test_one_key_gives_one_noise_and_a_stream_never_repeats_itself() -> None:
    """A seeded run is repeatable; two draws of a stream are independent."""
    first, again = (discrete_gaussian(100, 5000, RandomStream(b"k" * 32)) for _ in range(2))
    assert (first == again).all()
    stream = RandomStream(b"k" * 32)
    one, two = discrete_gaussian(100, 50_000, stream), discrete_gaussian(100, 50_000, stream)
    assert abs(float(np.corrcoef(one, two)[0, 1])) < 5.0 / math.sqrt(50_000)


@pytest.mark.parametrize("variance", [0, -1, 1.5, math.nan, True])
def test_no_noise_is_refused(variance: object) -> None:
    """A variance is a whole number above 0."""
    with pytest.raises(ConfigurationError):
        discrete_gaussian(variance, 1, fresh())  # type: ignore[arg-type]


def test_a_noise_too_wide_is_refused() -> None:
    """Rather than drawn wrongly or for hours."""
    with pytest.raises(ConfigurationError):
        skellam(WIDEST_SKELLAM + 1, 1, fresh())
    with pytest.raises(ConfigurationError):
        discrete_gaussian(WIDEST_GAUSSIAN + 1, 1, fresh())


@pytest.mark.parametrize(
    ("sampler", "variance", "expected"),
    [
        (discrete_gaussian, 1, "499bcfd55756b908"),
        (discrete_gaussian, 2500, "d328f82bf4d25a83"),
        (discrete_gaussian, 90_000, "28c6447350dc09f2"),
        (discrete_gaussian, 10**12, "2e420edb540487ab"),
        (discrete_gaussian, WIDEST_GAUSSIAN, "b6d2bf576e270e61"),
        (skellam, 1, "46e52b7ac53ec79d"),
        (skellam, 10_000, "cc55626b869126c3"),
        (skellam, 9_000_000, "1b7173eb4fde161e"),
        (skellam, WIDEST_SKELLAM, "9f9893075f258d3d"),
    ],
)
def test_a_seeded_run_has_the_noise_it_always_had(
    sampler: Callable[[int, int, RandomStream], Samples], variance: int, expected: str
) -> None:
    """Known answers: SHA-256 of 200,000 samples as they were drawn before wide tables got fast."""
    found = sampler(variance, 200_000, RandomStream(b"k" * 32)).astype("<i8")
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == expected
