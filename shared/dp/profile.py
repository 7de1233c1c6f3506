"""A claim in attack terms: every (epsilon, delta) of it at once, and what an attacker can do.

All numbers are upper bounds on what an attacker reaches. δ(ε) of Gaussians without sampling is
exact. Otherwise it is the least of three: the pessimistic privacy loss distribution (plus what its
composition by FFT may lose), Rényi DP, and the same steps without sampling. With integer noise it
is by Rényi DP alone.

Source: Kairouz, Oh & Viswanath 2015 (arXiv:1311.0776) for the step from δ(ε) to error rates; Dong,
Roth & Su 2022 (arXiv:1905.02383) for Gaussian trade-offs; Kaissis et al. 2023 (arXiv:2307.03928)
for reconstruction; Bun & Steinke 2016 (arXiv:1605.02065) for ρ; Meiser 2018 (eprint 2018/277) on
why (ε, δ) alone bounds no posterior, and Kasiviswanathan & Smith 2014 (arXiv:0803.3946) for what
does; Canonne, Kamath & Steinke 2020 (arXiv:2004.00010), proposition 12, from Rényi to δ(ε).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from dp_accounting import dp_event as dp
from numpy.typing import NDArray
from scipy import stats

from shared.dp.accounting import REPORT_INTERVAL, distribution, doubled_sensitivity
from shared.dp.clipping import Vector
from shared.dp.curves import ORDERS, renyi_curve
from shared.dp.integer_event import is_integer
from shared.dp.mechanisms import Adjacency
from shared.dp.steps import Counts, merged, without_sampling

_POINTS = 1500  # of the grid of epsilons that the best attack is sought on
_LOST_BY_FFT = 1e-12  # of δ, at most; ten times what was seen
_LAST_BITS = 1e-14  # of the two terms whose difference δ(ε) of a Gaussian is
_KEPT_ORDERS = (1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 512)


@dataclass(frozen=True)
class PrivacyProfile:
    """What one unit's exposure allows an attacker, at every epsilon.

    Args:
        event: All that the unit was exposed to; a release without privacy bounds nothing.
        epsilon: The claim, which scales the grids on which attacks are sought.
        adjacency: Of the claim.
        interval: Discretisation of the privacy loss distribution.
    """

    event: dp.DpEvent
    epsilon: float
    adjacency: Adjacency
    interval: float = REPORT_INTERVAL

    def delta_at(self, epsilons: NDArray[np.floating]) -> Vector:
        """δ(ε) at each of `epsilons`, shape (n,), at least 0; in [0, 1], never increasing."""
        places = np.asarray(epsilons, dtype=np.float64)
        if self._unbounded:
            return np.ones(len(places))
        if self._mu is not None:
            return _gaussian_delta(self._mu, places)
        order = np.argsort(places)
        bounds = [self._by_renyi(places[order])]
        if not self._has_integers:
            bounds.append(self._by_distribution(places[order]))
        if self._bare_mu is not None:
            bounds.append(_gaussian_delta(self._bare_mu, places[order]))
        # Guarantee: each is an upper bound, so the least is; δ at a larger ε is no larger.
        least = np.maximum.accumulate(np.min(bounds, axis=0)[::-1])[::-1]
        found = np.empty(len(places))
        found[order] = np.minimum(least, 1.0)
        return found

    def true_positive_rates(self, false_positive_rates: NDArray[np.floating]) -> Vector:
        """Most members that any attack finds at each rate of false alarms, shape (n,)."""
        rates = np.asarray(false_positive_rates, dtype=np.float64)
        if self._mu is not None:
            found: Vector = stats.norm.cdf(stats.norm.ppf(rates) + self._mu)
            return np.maximum(found, rates)
        epsilons = self._grid(max(1.5 * self.epsilon, 1.0))
        deltas, growth = self.delta_at(epsilons)[:, None], np.exp(epsilons)[:, None]
        # Guarantee: each epsilon gives a valid bound, from either direction; so does the least.
        above = deltas + growth * rates[None, :]
        below = 1.0 - (1.0 - deltas - rates[None, :]) / growth
        best: Vector = np.minimum(np.minimum(above, below).min(axis=0), 1.0)
        higher: Vector = np.maximum(best, rates)
        return higher

    def advantage(self) -> float:
        """Largest true minus false positive rate of any attack: δ(0)."""
        return float(self.delta_at(np.zeros(1))[0])

    def posterior(self, delta: float) -> float:
        """How sure an attacker gets from a prior of ½, but with probability `delta` at most.

        The posterior is 1/(1 + e^-L), L the privacy loss. (ε, δ) alone does not bound L but with
        probability δ; the profile does: P[L > ε'] ≤ δ(ε)/(1 - e^(ε - ε')) for every ε < ε'. The
        least such ε' is ε - ln(1 - δ(ε)/δ), and for a Gaussian the exact quantile of L.
        """
        if self._mu is not None:
            quantile = self._mu**2 / 2.0 + self._mu * float(stats.norm.isf(delta))
            return 1.0 / (1.0 + math.exp(-max(quantile, 0.0)))
        epsilons = self._grid(3.0 * self.epsilon + 1.0)
        shares = self.delta_at(epsilons) / delta
        small = shares < 1.0
        if not small.any():
            return 1.0
        least = float(np.min(epsilons[small] - np.log1p(-shares[small])))
        return 1.0 / (1.0 + math.exp(-least))

    @property
    def rho(self) -> float | None:
        """ρ of zero-concentrated DP, where all is Gaussian without sampling; else None."""
        return None if self._mu is None else self._mu**2 / 2.0

    @property
    def mu(self) -> float | None:
        """μ of Gaussian DP, exact (regret 0) without sampling; else None."""
        return self._mu

    def renyi(self) -> list[list[float]]:
        """(order, divergence); empty where the library does not know a step."""
        if self._divergences is None:
            return []
        # Guarantee: a divergence never falls with the order: a bound at a higher one holds below;
        # the library's at a fractional order is looser than at the next whole one.
        least = np.minimum.accumulate(np.asarray(self._divergences)[::-1])[::-1]
        pairs = zip(ORDERS, least, strict=True)
        return [[float(a), float(r)] for a, r in pairs if a in _KEPT_ORDERS and math.isfinite(r)]

    def _grid(self, top: float) -> Vector:
        # Guarantee: any grid is valid; e^ε of it must be a number.
        return np.linspace(0.0, min(top, 700.0), _POINTS)

    @cached_property
    def _counts(self) -> Counts:
        return merged(self.event)

    @cached_property
    def _unbounded(self) -> bool:
        return any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in self._counts)

    @cached_property
    def _has_integers(self) -> bool:
        return any(is_integer(part) for part, _ in self._counts)

    @cached_property
    def _mu(self) -> float | None:
        """Of Gaussians without sampling; None for anything else."""
        return self._bare_mu if without_sampling(self._counts) == self._counts else None

    @cached_property
    def _bare_mu(self) -> float | None:
        """μ for who knows who took part; None where that bounds nothing."""
        bare = without_sampling(self._counts)
        cut = any(isinstance(p, dp.TruncatedSubsampledGaussianDpEvent) for p, _ in self._counts)
        # Guarantee: integer noise is no Gaussian, only its Rényi divergences are bounded by one's.
        if (
            self._unbounded
            or self._has_integers
            or (cut and self.adjacency is not Adjacency.ZERO_OUT)
        ):
            return None
        if self.adjacency is Adjacency.REPLACE_ONE:
            bare = doubled_sensitivity(bare)
        return math.sqrt(sum(count / part.noise_multiplier**2 for part, count in bare))

    @cached_property
    def _divergences(self) -> Vector | None:
        """At each of ORDERS."""
        counts, adjacency = self._counts, self.adjacency
        if adjacency is Adjacency.REPLACE_ONE:
            if self._mu is None:
                return None  # no RDP of dp-accounting 0.6 is valid for it
            counts, adjacency = doubled_sensitivity(counts), Adjacency.ADD_OR_REMOVE_ONE
        total = np.zeros(len(ORDERS))
        for part, count in counts:
            known = None if self._unbounded else renyi_curve(part, adjacency)
            if known is None:
                return None
            total += count * np.array(known)
        return total

    def _by_distribution(self, epsilons: Vector) -> Vector:
        found = distribution(self._counts, self.adjacency, self.interval)
        deltas = _divergence(found._pmf_remove, epsilons)  # noqa: SLF001 - no public reader
        if not found._symmetric:  # noqa: SLF001 - likewise
            added = _divergence(found._pmf_add, epsilons)  # noqa: SLF001 - likewise
            deltas = np.maximum(deltas, added)
        bounded: Vector = np.maximum(deltas, 0.0) + _LOST_BY_FFT
        return bounded

    def _by_renyi(self, epsilons: Vector) -> Vector:
        if self._divergences is None:
            return np.ones(len(epsilons))
        orders = np.array(ORDERS)[:, None]
        exponents = (orders - 1.0) * (self._divergences[:, None] - epsilons + np.log1p(-1 / orders))
        found: Vector = np.exp(np.minimum(exponents - np.log(orders), 0.0)).min(axis=0)
        return found


def _divergence(masses: object, epsilons: Vector) -> Vector:
    """Σ p(x)(1 - e^(ε - x)) over losses x > ε, at ascending ε ≥ 0; the library's own is slow."""
    dense = masses.to_dense_pmf()  # type: ignore[attr-defined]
    losses = (dense._lower_loss + np.arange(dense.size)) * dense._discretization  # noqa: SLF001
    above = losses > 0.0
    losses, weights = losses[above], dense._probs[above]  # noqa: SLF001 - no public reader
    # From the tail on, so that small numbers are added first.
    upper = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    lower = np.append(np.cumsum((weights * np.exp(-losses))[::-1])[::-1], 0.0)
    first = np.searchsorted(losses, epsilons, side="right")
    infinite = float(dense._infinity_mass)  # noqa: SLF001 - likewise
    found: Vector = infinite + upper[first] - np.exp(epsilons) * lower[first]
    return found


def _gaussian_delta(mu: float, epsilons: Vector) -> Vector:
    """Balle & Wang 2018, theorem 8, for a Gaussian of sensitivity μ and deviation 1."""
    if mu == 0.0:
        return np.zeros(len(epsilons))
    first = stats.norm.cdf(mu / 2 - epsilons / mu)
    second = np.exp(epsilons + stats.norm.logcdf(-mu / 2 - epsilons / mu))
    # Guarantee: the difference of two near numbers may come out too small by their last bits.
    deltas: Vector = np.clip(first - second + _LAST_BITS * first, 0.0, 1.0)
    return deltas
