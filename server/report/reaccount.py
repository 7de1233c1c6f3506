"""Epsilon, δ(ε) and error rates of counted steps, by dp-accounting alone; see `recomputation`."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.rdp import RdpAccountant, compute_epsilon
from scipy import stats

Step = tuple[str, tuple[float, ...]]  # gaussian (z) | poisson (q, z) | truncated (N, q, cap, z)
Counts = Mapping[Step, int]
_RELATION = dp_accounting.NeighboringRelation
_INTERVALS = (1e-4, 2e-5, 5e-6, 1e-6)


class Reaccountant:
    """The numbers of one adjacency at one delta.

    Args:
        delta: Of every claim.
        orders: Rényi orders of the cross-check.
        zeroed: Whether a unit is zeroed rather than added or removed.
    """

    def __init__(self, delta: float, orders: Sequence[float], *, zeroed: bool) -> None:
        self._delta = delta
        self._orders = tuple(orders)
        self._relation = _RELATION.REPLACE_SPECIAL if zeroed else _RELATION.ADD_OR_REMOVE_ONE
        self._known: dict[tuple[frozenset[tuple[Step, int]], float], float] = {}

    def epsilon(self, counts: Counts, interval: float | None = None) -> float:
        """The smallest of PLD, RDP and the unsampled Gaussian, rounded up to four decimals."""
        key = (frozenset(counts.items()), interval or 0.0)
        if key not in self._known:
            self._known[key] = self._computed(counts, interval) if counts else 0.0
        return self._known[key]

    def deltas(self, counts: Counts, epsilon: float, places: Any) -> Any:
        """δ(ε) at `places`, on the grid that suits a claim of `epsilon`."""
        if all(kind == "gaussian" for kind, _ in counts):
            mu = _mu(counts)
            second = np.exp(places + stats.norm.logcdf(-mu / 2 - places / mu))
            return np.clip(stats.norm.cdf(mu / 2 - places / mu) - second, 0.0, 1.0)
        found = self._distribution(counts, 1e-4 if epsilon < 20.0 else 1e-3)
        return np.array([found.get_delta_for_epsilon(float(place)) for place in places])

    def true_positive_rates(self, counts: Counts, epsilon: float, rates: Any) -> Any:
        """Most members that an attack finds at each rate of false alarms."""
        if all(kind == "gaussian" for kind, _ in counts):
            return stats.norm.cdf(stats.norm.ppf(rates) + _mu(counts))
        grid = np.linspace(0.0, max(1.5 * epsilon, 1.0), 1500)
        best = np.ones(len(rates))
        for place, delta in zip(grid, self.deltas(counts, epsilon, grid), strict=True):
            best = np.minimum(best, delta + math.exp(place) * rates)
            best = np.minimum(best, 1.0 - math.exp(-place) * (1.0 - delta - rates))
        return np.maximum(best, rates)

    def _computed(self, counts: Counts, interval: float | None) -> float:
        bounds = [_gaussian(unsampled(counts), self._delta), self._rdp(counts)]
        if any(kind != "gaussian" for kind, _ in counts):
            bounds.append(self._pld(counts, interval, min(bounds)))
        units = math.ceil(min(bounds) * 1e4)
        return units / 1e4 if units / 1e4 >= min(bounds) else (units + 1) / 1e4

    def _pld(self, counts: Counts, interval: float | None, bound: float) -> float:
        wanted = [interval] if interval else list(_INTERVALS)
        excess = bound / (2e6 * wanted[0])
        used = wanted[0] * (10.0 ** math.ceil(math.log10(excess)) if excess > 1.0 else 1.0)
        if used > 1.0:
            return math.inf
        found, enough = math.inf, min(5000.0, 200.0 * math.sqrt(sum(counts.values())))
        for place in [used, *wanted[1:]]:
            if found < math.inf and found >= enough * used:
                break
            made = self._distribution(counts, place)
            found, used = float(made.get_epsilon_for_delta(self._delta)), place
        return math.inf if math.isnan(found) else found

    def _distribution(self, counts: Counts, interval: float) -> PrivacyLossDistribution:
        composed = privacy_loss_distribution.identity(value_discretization_interval=interval)
        for step, count in sorted(counts.items(), key=repr):
            single = _single(step, interval, self._relation)
            composed = composed.compose(single.self_compose(count))
        return composed

    def _rdp(self, counts: Counts) -> float:
        total = np.zeros(len(self._orders))
        for step, count in counts.items():
            curve = _renyi(step, self._orders)
            if curve is None:
                return math.inf
            total += count * np.array(curve)
        return float(compute_epsilon(self._orders, total, self._delta)[0])


@lru_cache(maxsize=32)
def _single(step: Step, interval: float, relation: Any) -> PrivacyLossDistribution:
    kind, parameters = step
    if kind == "truncated":
        count, rate, cap, noise = parameters
        return privacy_loss_distribution.from_truncated_subsampled_gaussian_mechanism(
            dataset_size=int(count),
            sampling_probability=rate,
            truncated_batch_size=int(cap),
            noise_multiplier=noise,
            value_discretization_interval=interval,
            neighboring_relation=relation,
        )
    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=parameters[-1],
        value_discretization_interval=interval,
        sampling_prob=parameters[0] if kind == "poisson" else 1.0,
        neighboring_relation=relation,
    )


@lru_cache(maxsize=64)
def _renyi(step: Step, orders: tuple[float, ...]) -> tuple[float, ...] | None:
    accountant, event = RdpAccountant(list(orders)), _event(step)
    if not accountant.supports(event):
        return None
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)  # an order that does not converge is left out, and said each time
    try:
        accountant.compose(event)
    finally:
        log.setLevel(level)
    return tuple(float(value) for value in np.maximum(accountant.rdp, 0.0))


def unsampled(counts: Counts) -> Counter[Step]:
    """The same steps for who knows who took part."""
    found: Counter[Step] = Counter()
    for (_, parameters), count in counts.items():
        found["gaussian", (parameters[-1],)] += count
    return found


def _event(step: Step) -> dp.DpEvent:
    kind, parameters = step
    if kind == "gaussian":
        return dp.GaussianDpEvent(*parameters)
    if kind == "poisson":
        return dp.PoissonSampledDpEvent(parameters[0], dp.GaussianDpEvent(parameters[1]))
    return dp.TruncatedSubsampledGaussianDpEvent(*parameters)


def _mu(counts: Counts) -> float:
    return math.sqrt(sum(count / noise**2 for (_, (noise,)), count in counts.items()))


def _gaussian(counts: Counts, delta: float) -> float:
    return float(dp_accounting.get_epsilon_gaussian(1.0 / _mu(counts), delta))
