"""Epsilon at a very small delta, from distributions composed where the tail is.

A plain FFT composes with an absolute error near 10⁻¹³, which drowns a delta of 10⁻¹⁴ in either
direction. Here every distribution is first tilted, p(x) → p(x)·e^{λx}/M(λ), so that the composition
is accurate to about 10⁻¹⁰ *relative* to the tail at the wanted delta, and tilted back afterwards.
The one-step distributions are dp-accounting's pessimistic ones, so the result is an upper bound.

Source: Esscher 1932 for the tilt; λ is the one of the best Chernoff bound, which is the Rényi
order of Mironov 2017, proposition 3; the step from distribution to epsilon is that of Sommer et
al. 2019 (privacy loss distributions).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from numpy.typing import NDArray
from scipy import optimize

from shared.errors import PrivacyError

Vector = NDArray[np.float64]
_SPREADS = 45.0  # standard deviations kept: beyond them the tilted mass is below the rounding
_LARGEST = 1 << 26
_SLACK = 1e-6  # relative, of delta; the composition is more accurate than that


@dataclass(frozen=True)
class _Masses:
    """One step's losses: `probabilities[i]` at (start + i) · interval, `infinite` at infinity."""

    start: int
    probabilities: Vector
    infinite: float
    count: int
    interval: float

    def losses(self) -> Vector:
        """Shape of `probabilities`."""
        return _places(self.start, len(self.probabilities), self.interval)

    def log_moment(self, tilt: float) -> float:
        """count · log Σ p·e^{λx}."""
        exponents = tilt * self.losses()
        top = float(exponents.max())
        total = float(np.dot(self.probabilities, np.exp(exponents - top)))
        return self.count * (math.log(total) + top)

    def tilted(self, tilt: float) -> Vector:
        """p·e^{λx}/M(λ); sums to 1."""
        exponents = tilt * self.losses()
        weights: Vector = self.probabilities * np.exp(exponents - exponents.max())
        weights /= weights.sum()
        return weights


def small_delta_epsilon(
    steps: Sequence[tuple[PrivacyLossDistribution, int]], delta: float
) -> float:
    """An epsilon at `delta` of the composed `steps`; infinity where none is found.

    Args:
        steps: One-step distributions of one interval, each with how often it is composed.
        delta: In (0, 1); as small as 10⁻²⁰.

    Raises:
        PrivacyError: distributions of different intervals.
    """
    directions = [[single._pmf_remove for single, _ in steps]]  # noqa: SLF001 - no public reader
    if not all(single._symmetric for single, _ in steps):  # noqa: SLF001 - likewise
        directions.append([single._pmf_add for single, _ in steps])  # noqa: SLF001 - likewise
    counts = [count for _, count in steps]
    return max(
        _one_direction([_masses(pmf, n) for pmf, n in zip(pmfs, counts, strict=True)], delta)
        for pmfs in directions
    )


def _masses(pmf: object, count: int) -> _Masses:
    dense = pmf.to_dense_pmf()  # type: ignore[attr-defined]
    return _Masses(
        start=dense._lower_loss,  # noqa: SLF001 - no public reader
        probabilities=dense._probs,  # noqa: SLF001 - no public reader
        infinite=dense._infinity_mass,  # noqa: SLF001 - no public reader
        count=count,
        interval=dense._discretization,  # noqa: SLF001 - no public reader
    )


def _one_direction(masses: list[_Masses], delta: float) -> float:
    interval = masses[0].interval
    if any(part.interval != interval for part in masses):
        raise PrivacyError("expected distributions of one interval, got several")
    infinite = -math.expm1(sum(part.count * math.log1p(-part.infinite) for part in masses))
    wanted = (delta - infinite) / (1.0 + _SLACK)
    if wanted <= 0.0:
        return math.inf
    tilt = _best_tilt(masses, wanted)
    chernoff = (sum(part.log_moment(tilt) for part in masses) - math.log(wanted)) / tilt
    start, composed = _composed(masses, tilt)
    losses = _places(start, len(composed), interval)
    return max(0.0, _solved(losses, composed, tilt, chernoff))


def _places(start: int, count: int, interval: float) -> Vector:
    return np.arange(start, start + count, dtype=np.float64) * interval


def _best_tilt(masses: list[_Masses], delta: float) -> float:
    def bound(log_tilt: float) -> float:
        tilt = math.exp(log_tilt)
        return (sum(part.log_moment(tilt) for part in masses) - math.log(delta)) / tilt

    found = optimize.minimize_scalar(bound, bounds=(-7.0, 12.0), method="bounded")
    return math.exp(float(found.x))


def _composed(masses: list[_Masses], tilt: float) -> tuple[int, Vector]:
    """Tilted masses of the sum within _SPREADS of its mean, and the place of the first."""
    tilted = [part.tilted(tilt) for part in masses]
    mean = variance = 0.0
    for part, weights in zip(masses, tilted, strict=True):
        positions = part.start + np.arange(len(weights))
        centre = float(np.dot(weights, positions))
        mean += part.count * centre
        variance += part.count * float(np.dot(weights, (positions - centre) ** 2))
    longest = max(len(weights) for weights in tilted)
    reach = math.ceil(_SPREADS * math.sqrt(variance)) + longest
    size = 1 << (2 * reach).bit_length()
    if size > _LARGEST:
        raise PrivacyError(f"expected at most {_LARGEST} places, got {size}")
    spectrum = np.ones(size // 2 + 1, dtype=np.complex128)
    offset = 0
    for part, weights in zip(masses, tilted, strict=True):
        spectrum *= np.fft.rfft(weights, size) ** part.count
        offset += part.count * part.start
    circular = np.maximum(np.fft.irfft(spectrum, size), 0.0)
    first = round(mean) - size // 2
    # What lies at place x stands at (x - offset) modulo size.
    return first, np.roll(circular, -((first - offset) % size))


def _solved(losses: Vector, tilted: Vector, tilt: float, centre: float) -> float:
    """The epsilon at which Σ_{x > ε} p(x)(1 - e^{ε-x}) is the wanted delta.

    In units of that delta, p(x) = q(x)·e^{-λ(x - centre)}.
    """
    near = (losses > centre - min(60.0 / tilt, 600.0)) & (losses < centre + 600.0)
    losses = losses[near]
    weights = tilted[near] * np.exp(-tilt * (losses - centre))
    upper = np.cumsum(weights[::-1])[::-1]
    shrunk = np.cumsum((weights * np.exp(centre - losses))[::-1])[::-1]
    # excess[k]: delta at epsilon = losses[k], over what is wanted.
    excess = np.append(upper[1:], 0.0) - np.exp(losses - centre) * np.append(shrunk[1:], 0.0)
    within = np.flatnonzero(excess <= 1.0)
    if not len(within):
        return math.inf
    k = int(within[0])
    if k == 0:
        return float(losses[0])
    # Between losses[k-1] and losses[k] delta is upper[k] - e^{ε - centre}·shrunk[k].
    return centre + math.log((upper[k] - 1.0) / shrunk[k])
