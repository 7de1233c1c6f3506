"""Sums of integer noises hide at least what a Gaussian of the stated multiplier hides."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, special

from shared.dp.concentrated import noise_multiplier_of, share_variance_for
from shared.errors import ConfigurationError

FAMILIES = ("discrete_gaussian", "skellam")
_REACH = 400


def pmf(family: str, variance: int, shares: int) -> NDArray[np.float64]:
    """Of the sum in one dimension, by convolution, on -_REACH.._REACH."""
    places = np.arange(-_REACH, _REACH + 1)
    if family == "skellam":
        total: NDArray[np.float64] = special.ive(np.abs(places), float(variance * shares))
        return total
    one = np.exp(-(places**2) / (2.0 * variance))
    one /= one.sum()
    total = one
    for _ in range(shares - 1):
        total = signal.fftconvolve(total, one, mode="same").clip(0.0)
    normalised: NDArray[np.float64] = total / total.sum()
    return normalised


def divergence(masses: NDArray[np.float64], shift: int, order: int) -> float:
    """Rényi divergence of the sum from itself, shifted."""
    # FFT noise in the tail is no probability.
    masses = np.where(masses > 1e-14, masses, 0.0)
    moved = np.roll(masses, shift)
    both = (masses > 0) & (moved > 0)
    terms = order * np.log(moved[both]) + (1 - order) * np.log(masses[both])
    return float(special.logsumexp(terms)) / (order - 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("variance", "shares"), [(1, 3), (4, 5), (30, 10)])
@pytest.mark.parametrize("shift", [1, 2])
def test_no_divergence_exceeds_that_of_the_gaussian(
    family: str, variance: int, shares: int, shift: int
) -> None:
    """At whole orders, in one dimension, by the exact masses; and the bound is no waste."""
    z = noise_multiplier_of(
        family=family, share_variance=variance, shares=shares, sensitivity=shift, dimension=1
    )
    masses = pmf(family, variance, shares)
    for order in (2, 3, 4, 6):
        assert divergence(masses, shift, order) <= order / (2.0 * z * z) + 1e-9
    if variance * shares >= 100:
        assert divergence(masses, shift, 2) >= 0.9 * 2 / (2.0 * z * z)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FAMILIES),
    st.floats(0.1, 20.0),
    st.floats(1.0, 1e4),
    st.integers(1, 1000),
    st.integers(1, 10**7),
)
def test_the_least_share_is_enough_and_less_is_not(
    family: str, z: float, sensitivity: float, honest: int, dimension: int
) -> None:
    """So that t - c honest survivors carry the plan's noise."""
    wanted = {"family": family, "sensitivity": sensitivity, "dimension": dimension}
    variance = share_variance_for(noise_multiplier=z, honest=honest, **wanted)
    reached = noise_multiplier_of(share_variance=variance, shares=honest, **wanted)  # type: ignore[arg-type]
    assert reached >= z
    if variance > 1:
        less = noise_multiplier_of(share_variance=variance - 1, shares=honest, **wanted)  # type: ignore[arg-type]
        assert less < z


def test_a_share_by_all_clients_is_too_small() -> None:
    """The planted bug: variance divided by n where t - c are honest."""
    arguments = {"family": "skellam", "sensitivity": 100.0, "dimension": 10}
    by_all = share_variance_for(noise_multiplier=1.0, honest=20, **arguments)
    z = noise_multiplier_of(share_variance=by_all, shares=16, **arguments)  # type: ignore[arg-type]
    assert z < 0.9


def test_many_narrow_gaussians_are_far_from_one() -> None:
    """The distance of the sum counts where shares are narrow and numbers many."""
    arguments = {"family": "discrete_gaussian", "shares": 100, "sensitivity": 1.0}
    near = noise_multiplier_of(share_variance=1, dimension=1, **arguments)  # type: ignore[arg-type]
    far = noise_multiplier_of(share_variance=1, dimension=10**6, **arguments)  # type: ignore[arg-type]
    assert far < near < 10.0


@pytest.mark.parametrize(
    "changed",
    [{"family": "laplace"}, {"sensitivity": 0.0}, {"honest": 0}, {"noise_multiplier": math.nan}],
)
def test_what_is_outside_its_domain_is_refused(changed: dict[str, float]) -> None:
    """A family that is not known above all."""
    wanted = {
        "family": "skellam", "noise_multiplier": 1.0, "sensitivity": 1.0, "honest": 3,
        "dimension": 1,
    }  # fmt: skip
    with pytest.raises(ConfigurationError):
        share_variance_for(**(wanted | changed))
