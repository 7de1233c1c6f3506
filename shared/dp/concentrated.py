"""What a sum of integer noises hides, as the noise multiplier of a Gaussian that hides as much.

For two inputs that differ by a whole-numbered vector of L2 norm Δ at most, the Rényi divergence of
input + Σ noises at every whole order α > 1 is at most α/(2z²), in either direction: the noises are
symmetric, so reflection swaps the two. z is rounded down by 10⁻⁹ of itself, which is more than the
arithmetic here and the 10⁻⁷⁶ of a wide sampler's steps add up to.

Source: Kairouz, Liu & Steinke 2021 (arXiv:2102.06387), theorem 1 and corollary 12, for sums of
discrete Gaussians; Agarwal, Kairouz & Liu 2021 (arXiv:2110.04995), theorem 3.5, for Skellam.
"""

import math
from functools import lru_cache

from shared.errors import ConfigurationError

FAMILIES = ("discrete_gaussian", "skellam")
_ROUNDING = 1e-9


def noise_multiplier_of(
    *, family: str, share_variance: int, shares: int, sensitivity: float, dimension: int
) -> float:
    """z of `shares` independent noises of `share_variance` each.

    Discrete Gaussian: ½ε²-concentrated for ε² = Δ²/(nσ²) + τd/2, with τ =
    10·Σ_(k<n) exp(-2π²σ²·k/(k+1)), the distance of the sum from one discrete Gaussian.

    Skellam of variance μ in all: D_α ≤ αΔ²/2μ + ((2α-1)Δ² + 6Δ₁)/4μ². Whole numbers have Δ₁ ≤ Δ²,
    so the second term is at most (2α+5)Δ²/4μ² ≤ α·9Δ²/8μ² from α = 2 on, and D_α ≤ α/(2z²) for
    1/z² = Δ²/μ · (1 + 9/4μ).

    Args:
        family: discrete_gaussian or skellam.
        share_variance: σ² of each, in squared units.
        shares: n, of honest parties that are sure to take part.
        sensitivity: Δ, in units.
        dimension: d.

    Raises:
        ConfigurationError: an unknown family, or a number outside its domain.
    """
    _check(family, share_variance, shares, sensitivity, dimension)
    total = float(share_variance) * shares
    if family == "skellam":
        squared = sensitivity**2 / total * (1.0 + 2.25 / total)
    else:
        squared = sensitivity**2 / total + _distance(share_variance, shares) * dimension / 2.0
    # Guarantee: rounded towards less privacy.
    return (1.0 - _ROUNDING) / math.sqrt(squared)


@lru_cache(maxsize=256)
def share_variance_for(
    *, family: str, noise_multiplier: float, sensitivity: float, honest: int, dimension: int
) -> int:
    """The least whole variance of a share with which `honest` of them reach `noise_multiplier`.

    Args:
        family: discrete_gaussian or skellam.
        noise_multiplier: z of the plan.
        sensitivity: Δ with all that rounding adds to it, in units.
        honest: t - c: survivors that are summed at the least, less those who may be corrupt.
        dimension: d.

    Raises:
        ConfigurationError: as `noise_multiplier_of`.
    """
    low, high = 0, 1

    def reaches(variance: int) -> bool:
        found = noise_multiplier_of(
            family=family,
            share_variance=variance,
            shares=honest,
            sensitivity=sensitivity,
            dimension=dimension,
        )
        return found >= noise_multiplier

    if not (math.isfinite(noise_multiplier) and noise_multiplier > 0.0):
        raise ConfigurationError(f"expected a noise multiplier above 0, got {noise_multiplier!r}")
    while not reaches(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _distance(share_variance: int, shares: int) -> float:
    """τ of the theorem."""
    exponent = -2.0 * math.pi**2 * share_variance
    return 10.0 * sum(math.exp(exponent * k / (k + 1)) for k in range(1, shares))


def _check(
    family: str, share_variance: int, shares: int, sensitivity: float, dimension: int
) -> None:
    if family not in FAMILIES:
        raise ConfigurationError(f"expected a noise of {FAMILIES}, got {family!r}")
    values = (share_variance, shares, sensitivity, dimension)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ConfigurationError(
            f"expected variance, shares, sensitivity and dimension above 0, got {values}"
        )
