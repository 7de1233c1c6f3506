"""A claim in attack terms: every (epsilon, delta) of it at once, and what an attacker can do.

All numbers are upper bounds on what an attacker reaches. δ(ε) of a Gaussian without sampling is
exact; otherwise it comes from the pessimistic privacy loss distribution.

Source: Kairouz, Oh & Viswanath 2015 (arXiv:1311.0776) for the step from δ(ε) to error rates; Dong,
Roth & Su 2022 (arXiv:1905.02383) for Gaussian trade-offs; Kaissis et al. 2023 (arXiv:2307.03928)
for reconstruction; Bun & Steinke 2016 (arXiv:1605.02065) for ρ.
"""

import math
from dataclasses import dataclass

import numpy as np
from dp_accounting import dp_event as dp
from numpy.typing import NDArray
from scipy import stats

from shared.dp.accounting import ORDERS, distribution, renyi_curve
from shared.dp.clipping import Vector
from shared.dp.mechanisms import Adjacency
from shared.dp.steps import Counts, merged, without_sampling

_COARSE, _FINE = 1e-3, 1e-4
_POINTS = 1500  # of the grid of epsilons that the best attack is sought on
_SHOWN = 41
_KEPT_ORDERS = (1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 512)


@dataclass(frozen=True)
class PrivacyProfile:
    """What one unit's exposure allows an attacker, at every epsilon.

    Args:
        event: All that the unit was exposed to; none of it without privacy.
        epsilon: The claim, which scales the plots.
        adjacency: Add-or-remove-one or zero-out.
    """

    event: dp.DpEvent
    epsilon: float
    adjacency: Adjacency

    @property
    def _counts(self) -> Counts:
        return merged(self.event)

    @property
    def _bare(self) -> bool:
        """Whether everything is Gaussian without sampling: then the profile is exact."""
        return without_sampling(self._counts) == self._counts

    def delta_at(self, epsilons: NDArray[np.floating]) -> Vector:
        """δ(ε) at each of `epsilons`, shape (n,); in [0, 1], never increasing."""
        if self._bare:
            return _gaussian_delta(self._mu(), epsilons)
        interval = _FINE if self.epsilon < 20.0 else _COARSE
        found = distribution(self._counts, self.adjacency, interval)
        deltas: Vector = np.array(found.get_delta_for_epsilon(list(epsilons)), dtype=np.float64)
        clipped: Vector = np.clip(deltas, 0.0, 1.0)
        return clipped

    def curve(self) -> list[list[float]]:
        """(ε, δ(ε)) from 0 to half beyond the claim."""
        epsilons = np.linspace(0.0, 1.5 * self.epsilon, _SHOWN)
        return [
            [float(e), float(d)] for e, d in zip(epsilons, self.delta_at(epsilons), strict=True)
        ]

    def true_positive_rates(self, false_positive_rates: NDArray[np.floating]) -> Vector:
        """Most members that any attack finds at each rate of false alarms, shape (n,)."""
        if self._bare:
            found: Vector = stats.norm.cdf(stats.norm.ppf(false_positive_rates) + self._mu())
            return found
        epsilons = np.linspace(0.0, max(1.5 * self.epsilon, 1.0), _POINTS)
        deltas = self.delta_at(epsilons)[:, None]
        growth, rates = np.exp(epsilons)[:, None], np.asarray(false_positive_rates)[None, :]
        # Guarantee: each epsilon gives a valid bound, from either direction; so does the least.
        above = deltas + growth * rates
        below = 1.0 - (1.0 - deltas - rates) / growth
        best: Vector = np.minimum(np.minimum(above, below).min(axis=0), 1.0)
        higher: Vector = np.maximum(best, false_positive_rates)
        return higher

    def advantage(self) -> float:
        """Largest true minus false positive rate of any attack: δ(0)."""
        return float(self.delta_at(np.zeros(1))[0])

    def posterior(self) -> float:
        """From a prior of ½, how sure an attacker gets, but with probability δ: e^ε/(1+e^ε)."""
        return 1.0 / (1.0 + math.exp(-self.epsilon))

    def rho(self) -> float | None:
        """ρ of zero-concentrated DP, where all is Gaussian without sampling; else None."""
        return self._mu() ** 2 / 2.0 if self._bare else None

    def mu(self) -> float | None:
        """μ of Gaussian DP, exact (regret 0) without sampling; else None."""
        return self._mu() if self._bare else None

    def renyi(self) -> list[list[float]]:
        """(order, divergence); empty where the library does not know a step."""
        total = np.zeros(len(ORDERS))
        for part, count in self._counts:
            known = renyi_curve(part, self.adjacency)
            if known is None:
                return []
            total += count * np.array(known)
        pairs = zip(ORDERS, total, strict=True)
        return [[float(a), float(r)] for a, r in pairs if a in _KEPT_ORDERS and math.isfinite(r)]

    def _mu(self) -> float:
        return math.sqrt(sum(count / part.noise_multiplier**2 for part, count in self._counts))


def _gaussian_delta(mu: float, epsilons: NDArray[np.floating]) -> Vector:
    """Balle & Wang 2018, theorem 8, for a Gaussian of sensitivity μ and deviation 1."""
    if mu == 0.0:
        return np.zeros(len(epsilons))
    first = stats.norm.cdf(mu / 2 - epsilons / mu)
    second = np.exp(epsilons + stats.norm.logcdf(-mu / 2 - epsilons / mu))
    deltas: Vector = np.clip(first - second, 0.0, 1.0)
    return deltas
