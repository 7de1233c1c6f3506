"""Privacy losses of one Gaussian step: dp-accounting's own numbers, bit for bit.

The library inverts the privacy loss at one place of the grid after the other, which is nearly all
of its work. Here all places are inverted at once, by the same operations in the same order.

Source: dp-accounting 0.6, `GaussianPrivacyLoss` and `MixtureGaussianPrivacyLoss`; Doroshenko et
al. 2022 (arXiv:2207.04380) for the distribution, Ganesh 2024 (arXiv:2401.10294) for the mixture.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.pld_pmf import (
    DensePLDPmf,
    PLDPmf,
    create_pmf_pessimistic_connect_dots_fixed_gap,
)
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.pld.privacy_loss_mechanism import (
    AdjacencyType,
    GaussianPrivacyLoss,
    MixtureGaussianPrivacyLoss,
)
from numpy.typing import NDArray
from scipy import stats

from shared.errors import PrivacyError

Vector = NDArray[np.float64]
_FEW = 1000  # places that the library keeps in another form
_FALLING = 1e-12  # how far a delta may rise by rounding: the library's own
_AT_ONCE = 1 << 14  # places of a mixture, each with a number for every component


def sampled_gaussian(
    noise_multiplier: float, rate: float, *, interval: float
) -> PrivacyLossDistribution:
    """`from_gaussian_mechanism` where a unit is added to a Poisson sample, or removed, or zeroed.

    Args:
        noise_multiplier: Of one clip.
        rate: In (0, 1).
        interval: Of the grid.
    """
    return _of(
        lambda way: _Sampled(noise_multiplier, sampling_prob=rate, adjacency_type=way), interval
    )


def replaced_gaussian(
    noise_multiplier: float, rate: float, *, interval: float
) -> PrivacyLossDistribution:
    """`from_gaussian_mechanism` where a unit of a Poisson sample is replaced by another."""
    losses = _Replaced(noise_multiplier, sampling_prob=rate, adjacency_type=AdjacencyType.REPLACE)
    return PrivacyLossDistribution(_on_a_grid(losses, interval))


def truncated_gaussian(
    noise_multiplier: float, rate: float, most: int, of: int, *, interval: float
) -> PrivacyLossDistribution:
    """`from_truncated_subsampled_gaussian_mechanism`: at most `most` of a sample of `of` count."""
    if rate == 1.0:
        return privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism(
            of, rate, most, noise_multiplier, value_discretization_interval=interval
        )
    whole = sampled_gaussian(noise_multiplier, rate, interval=interval)
    cut = stats.binom.sf(most - 1, of - 1, rate)
    if cut == 0.0:
        return whole
    # A unit that is in where others are cut pushes one of them out.
    drawn = stats.binom.sf(most, of, rate) * most / cut / of
    replaced = replaced_gaussian(noise_multiplier / 2, drawn, interval=interval)
    return replaced.compute_mixture(whole, cut)


def mixed_gaussian(
    noise_multiplier: float, shares: Sequence[float], *, interval: float
) -> PrivacyLossDistribution:
    """`from_mixture_gaussian_mechanism` where `shares[k]` is the chance that k clips are drawn."""
    clips = [float(count) for count in range(len(shares))]
    return _of(lambda way: _Mixed(noise_multiplier, clips, shares, adjacency_type=way), interval)


def _of(losses: Callable[[AdjacencyType], Any], interval: float) -> PrivacyLossDistribution:
    removed, added = (
        _on_a_grid(losses(way), interval) for way in (AdjacencyType.REMOVE, AdjacencyType.ADD)
    )
    return PrivacyLossDistribution(removed, added)


def _on_a_grid(losses: Any, interval: float) -> PLDPmf:
    """Connects the dots, as `create_pmf_pessimistic_connect_dots_fixed_gap` does."""
    bounds = losses.connect_dots_bounds()
    first = math.floor(bounds.epsilon_lower / interval)
    last = math.ceil(bounds.epsilon_upper / interval)
    deltas = losses.get_delta_for_epsilon(np.arange(first, last + 1) * interval)
    if len(deltas) <= _FEW:
        return create_pmf_pessimistic_connect_dots_fixed_gap(interval, first, last, deltas)
    if (np.diff(deltas) > _FALLING).any():
        raise PrivacyError("expected deltas that fall with epsilon, got some that rise")
    deltas = np.minimum.accumulate(deltas)
    steps, grown = np.diff(deltas), math.expm1(interval)
    masses = np.empty_like(deltas)
    masses[0] = 1 - deltas[0] + steps[0] / grown
    masses[1:-1] = (steps[1:] - steps[:-1] * math.exp(interval)) / grown
    masses[-1] = steps[-1] / math.expm1(-interval)
    # The library would put them into a dictionary first, which takes longer than all else.
    return DensePLDPmf(interval, first, np.maximum(0.0, masses), deltas[-1], True)


class _Sampled(GaussianPrivacyLoss):  # type: ignore[misc]
    """Of a Gaussian step of a Poisson sample."""

    def get_delta_for_epsilon(self, epsilon: Vector) -> Vector:
        """As the library's, of a grid."""
        removed = self.adjacency_type == AdjacencyType.REMOVE
        sign = 1.0 if removed else -1.0
        # Beyond, a unit that was added is never told, and one that was removed costs no more.
        limit = sign * np.log1p(-self.sampling_prob)
        inside = epsilon > limit if removed else epsilon < limit
        found = np.zeros_like(epsilon)
        if removed:
            found[~inside] = -np.expm1(epsilon[~inside])
        places = self._inverses(epsilon[inside], sign)
        found[inside] = self.mu_upper_cdf(places) - np.exp(
            epsilon[inside] + self.mu_lower_log_cdf(places)
        )
        return np.clip(found, 0, 1)

    def _inverses(self, losses: Vector, sign: float) -> Vector:
        rate = self.sampling_prob
        moved, free = sign * losses + np.log(1 / rate), np.log(1 / rate - 1)
        limit = sign * np.log(1 - rate)
        # The library has ways of its own for these, of which there are a few.
        special = (losses == 0) | (moved <= free) | np.isclose(losses, limit, rtol=1e-8, atol=0.0)
        usual = ~special
        found = np.empty_like(losses)
        without = sign * (moved[usual] + np.log1p(-np.exp(free - moved[usual])))
        if sign > 0:
            found[usual] = self._inverse_privacy_loss_without_subsampling_remove(without)
        else:
            found[usual] = self._inverse_privacy_loss_without_subsampling_add(without)
        found[special] = [self.inverse_privacy_loss(loss) for loss in losses[special]]
        return found


class _Replaced(GaussianPrivacyLoss):  # type: ignore[misc]
    """Of a Gaussian step of a Poisson sample in which a unit is replaced."""

    def get_delta_for_epsilon(self, epsilon: Vector) -> Vector:
        """As the library's, of a grid."""
        places = self._inverses(epsilon)
        found: Vector = self.mu_upper_cdf(places) - np.exp(epsilon + self.mu_lower_log_cdf(places))
        return np.clip(found, 0, 1)

    def _inverses(self, losses: Vector) -> Vector:
        variance, rate = self._standard_deviation**2, self.sampling_prob
        moved = 0.5 * (self.sensitivity / self._standard_deviation) ** 2
        weight = moved + math.log1p(-rate) - math.log(rate)
        found = np.zeros_like(losses)
        usual = losses != 0
        half = np.abs(losses[usual]) / 2
        # NumPy's exponential differs from the library's, which is math's, in the last bit.
        fallen = np.fromiter(map(math.exp, -2 * half), float, len(half))
        rest = np.fromiter(map(math.log1p, -fallen), float, len(half))
        size = weight + (half + rest - math.log(2))
        curved = np.logaddexp(0.5 * np.logaddexp(0, 2 * size), size)
        signs = np.where(losses[usual] >= 0, -1.0, 1.0)
        found[usual] = variance / self.sensitivity * (signs * curved - losses[usual] / 2)
        return found


class _Mixed(MixtureGaussianPrivacyLoss):  # type: ignore[misc]
    """Of a Gaussian step that moves by so many clips as were drawn."""

    def _inverse_privacy_losses_with_range(
        self, privacy_losses: Vector, bounds: tuple[float, float], precision: float = 1e-6
    ) -> Vector:
        parts = np.split(privacy_losses, range(_AT_ONCE, len(privacy_losses), _AT_ONCE))
        return np.concatenate([self._searched(part, bounds, precision) for part in parts])

    def _searched(self, losses: Vector, bounds: tuple[float, float], precision: float) -> Vector:
        low, high = (np.full(len(losses), bound) for bound in bounds)
        while (wide := high - low > precision).any():
            middle = (low + high) / 2
            below = losses < self._loss(middle)
            low = np.where(wide & below, middle, low)
            high = np.where(wide & ~below, middle, high)
        return np.floor(high / precision) * precision

    def _loss(self, places: Vector) -> Vector:
        sign = 1.0 if self.adjacency_type == AdjacencyType.ADD else -1.0
        moved = np.multiply.outer(self.sensitivities, places) / self._variance
        summands = self._precompute_privacy_loss_constants[:, None] + sign * moved
        total: Vector = np.logaddexp.reduce(summands, axis=0)
        return -sign * total
