"""Epsilon, δ(ε) and error rates of counted steps, by dp-accounting alone; see `recomputation`.

With integer noise all is by the Rényi divergences of `redivergence`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.rdp import compute_epsilon
from scipy import stats

from server.report.redivergence import (
    ORDERS,
    Counts,
    Step,
    continuous,
    has_integers,
    together,
    total,
    unsampled,
)

_RELATION = dp_accounting.NeighboringRelation
_INTERVALS = (1e-4, 2e-5, 5e-6, 1e-6)
_GRID = 1500


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds on epsilon of the same steps, none rounded; infinity where there is none.

    With integer noise `pld` is that of continuous noise, and bounds nothing.
    """

    pld: float
    rdp: float
    bare: float
    interval: float
    integers: bool = False

    @property
    def least(self) -> float:
        """What is claimed."""
        return self.rdp if self.integers else min(self.pld, self.rdp, self.bare)


class Reaccountant:
    """The numbers of one adjacency at one delta.

    Args:
        delta: Of every claim.
        zeroed: Whether a unit is zeroed rather than added or removed.
    """

    def __init__(self, delta: float, *, zeroed: bool) -> None:
        self._delta = delta
        self._relation = _RELATION.REPLACE_SPECIAL if zeroed else _RELATION.ADD_OR_REMOVE_ONE
        self._known: dict[tuple[frozenset[tuple[Step, int]], float], Bounds] = {}
        self._made: dict[tuple[frozenset[tuple[Step, int]], float], PrivacyLossDistribution] = {}

    def bounds(self, counts: Counts, interval: float | None = None) -> Bounds:
        """By distribution, by Rényi DP, and without sampling, where that is exact."""
        key = (frozenset(counts.items()), interval or 0.0)
        if key not in self._known:
            self._known[key] = self._computed(counts, interval)
        return self._known[key]

    def deltas(self, counts: Counts, places: Any, interval: float) -> Any:
        """δ(ε) at ascending `places`."""
        found = np.ones(len(places))
        if not has_integers(counts):
            bare = _gaussian_deltas(mu(unsampled(counts)), places)
            if is_bare(counts):
                return bare
            losses = self._distribution(counts, interval)
            lists = [losses._pmf_remove] + ([] if losses._symmetric else [losses._pmf_add])  # noqa: SLF001
            tails = np.max([_tail(masses.to_dense_pmf(), places) for masses in lists], axis=0)
            found = np.minimum(np.maximum(tails, 0.0) + 1e-12, bare)
        divergences = self.renyi(counts)
        if divergences is not None:
            for order, divergence in zip(ORDERS, divergences, strict=True):
                power = (order - 1) * (divergence - places + math.log1p(-1 / order))
                found = np.minimum(found, np.exp(np.minimum(power - math.log(order), 0.0)))
        falling = [found[-1]]
        for value in found[-2::-1]:
            falling.append(max(value, falling[-1]))
        return np.minimum(np.array(falling[::-1]), 1.0)

    def rates(self, counts: Counts, places: Any, epsilon: float, interval: float) -> Any:
        """Most members that an attack finds at each rate of false alarms."""
        if is_bare(counts):
            return np.maximum(stats.norm.cdf(stats.norm.ppf(places) + mu(counts)), places)
        grid = np.linspace(0.0, min(max(1.5 * epsilon, 1.0), 700.0), _GRID)
        best = np.ones(len(places))
        for at, delta in zip(grid, self.deltas(counts, grid, interval), strict=True):
            best = np.minimum(best, delta + math.exp(at) * places)
            best = np.minimum(best, 1.0 - math.exp(-at) * (1.0 - delta - places))
        return np.maximum(best, places)

    def posterior(self, counts: Counts, epsilon: float, interval: float) -> float:
        """1/(1 + e^-L), L the privacy loss that is exceeded with probability delta at most."""
        if is_bare(counts):
            size = mu(counts)
            loss = size**2 / 2 + size * float(stats.norm.isf(self._delta))
            return 1.0 / (1.0 + math.exp(-max(loss, 0.0)))
        grid = np.linspace(0.0, min(3.0 * epsilon + 1.0, 700.0), _GRID)
        losses = [
            at - math.log1p(-delta / self._delta)
            for at, delta in zip(grid, self.deltas(counts, grid, interval), strict=True)
            if delta < self._delta
        ]
        return 1.0 / (1.0 + math.exp(-min(losses, default=math.inf)))

    def renyi(self, counts: Counts) -> Any | None:
        """Divergence at each of ORDERS; None where it is not known."""
        return total(counts, self._relation)

    @staticmethod
    def gaussian_size(counts: Counts) -> float | None:
        """μ where nothing is sampled; else None."""
        return mu(counts) if is_bare(counts) else None

    def _computed(self, counts: Counts, interval: float | None) -> Bounds:
        used = interval or _INTERVALS[0]
        if not counts:
            return Bounds(0.0, math.inf, 0.0, used)
        rdp = _by_renyi(self.renyi(counts), self._delta)
        if has_integers(counts):
            beside = self.bounds(continuous(counts), interval)
            return Bounds(beside.pld, rdp, math.inf, beside.interval, integers=True)
        bare = gaussian(mu(unsampled(counts)), self._delta)
        if is_bare(counts):
            return Bounds(bare, rdp, bare, used)
        excess = min(bare, rdp) / (2e6 * used)
        used *= 10.0 ** math.ceil(math.log10(excess)) if excess > 1.0 else 1.0
        pld = self._pld(counts, used)
        enough = min(5000.0, 200.0 * math.sqrt(sum(counts.values())))
        for finer in () if interval else _INTERVALS[1:]:
            if pld < enough * used:
                used, before = finer, pld
                pld = self._pld(counts, used)
                if before - pld <= 1e-3 * pld:
                    break
        return Bounds(pld, rdp, bare, used)

    def _pld(self, counts: Counts, interval: float) -> float:
        if interval > 1.0:
            return math.inf
        made = self._distribution(counts, interval)
        found = float(made.get_epsilon_for_delta(self._delta))
        return math.inf if math.isnan(found) else found

    def _distribution(self, counts: Counts, interval: float) -> PrivacyLossDistribution:
        key = (frozenset(counts.items()), interval)
        if key not in self._made:
            composed = privacy_loss_distribution.identity(value_discretization_interval=interval)
            for step, count in sorted(counts.items(), key=repr):
                single = _single(step, interval, self._relation)
                composed = composed.compose(single.self_compose(count))
            self._made = {key: composed}  # the last one: each may be large
        return self._made[key]


def group(counts: Counts, records: int, delta: float) -> float:
    """Epsilon of `records` records of one person together, add-or-remove, not rounded."""
    if has_integers(counts):
        return _by_renyi(total(together(counts, records), _RELATION.ADD_OR_REMOVE_ONE), delta)
    bare = gaussian(records * mu(unsampled(counts)), delta) if counts else 0.0
    if is_bare(counts):
        return bare
    wanted = 2.5e-3 * records
    excess = bare / (2e6 * wanted)
    place = wanted * (10.0 ** math.ceil(math.log10(excess)) if excess > 1.0 else 1.0)
    found = math.inf
    while place <= 1.0:
        composed = privacy_loss_distribution.identity(value_discretization_interval=place)
        for step, count in counts.items():
            composed = composed.compose(_several(step, records, place).self_compose(count))
        epsilon = float(composed.get_epsilon_for_delta(delta))
        found = min(found, math.inf if math.isnan(epsilon) else epsilon)
        if place <= wanted or found > 1e5 * place:
            break
        place = max(place / 10.0, wanted)
    return min(bare, found)


def _by_renyi(divergences: Any | None, delta: float) -> float:
    if divergences is None:
        return math.inf
    return float(compute_epsilon(ORDERS, divergences, delta)[0])


def is_bare(counts: Counts) -> bool:
    """Whether all is continuous noise without sampling."""
    return all(kind == "gaussian" for kind, _ in counts)


def mu(counts: Counts) -> float:
    """μ of unsampled steps together."""
    return math.sqrt(sum(count / noise**2 for (_, (noise,)), count in counts.items()))


def gaussian(size: float, delta: float) -> float:
    """Exact epsilon of one Gaussian of that μ."""
    return float(dp_accounting.get_epsilon_gaussian(1.0 / size, delta)) if size else 0.0


def _gaussian_deltas(size: float, places: Any) -> Any:
    if size == 0.0:
        return np.zeros(len(places))
    first = stats.norm.cdf(size / 2 - places / size)
    second = np.exp(places + stats.norm.logcdf(-size / 2 - places / size))
    return np.clip(first * (1.0 + 1e-14) - second, 0.0, 1.0)


def _tail(masses: Any, places: Any) -> Any:
    """Σ over losses above each place of mass · (1 - e^(place - loss)); places at least 0."""
    bottom = max(0, 1 - masses._lower_loss)  # noqa: SLF001 - no public reader
    shares = masses._probs[bottom:]  # noqa: SLF001 - likewise
    steps = masses._lower_loss + bottom + np.arange(len(shares))  # noqa: SLF001 - likewise
    losses = steps * masses._discretization  # noqa: SLF001 - likewise
    whole = np.zeros(len(shares) + 1)
    shrunk = np.zeros(len(shares) + 1)
    whole[:-1] = np.flip(np.cumsum(np.flip(shares)))
    shrunk[:-1] = np.flip(np.cumsum(np.flip(shares / np.exp(np.minimum(losses, 700.0)))))
    start = [int(np.searchsorted(losses, place, side="right")) for place in places]
    infinite = masses._infinity_mass  # noqa: SLF001 - likewise
    return infinite + whole[start] - np.exp(places) * shrunk[start]


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


@lru_cache(maxsize=32)
def _several(step: Step, records: int, interval: float) -> PrivacyLossDistribution:
    kind, parameters = step
    if kind == "gaussian":
        return privacy_loss_distribution.from_gaussian_mechanism(
            parameters[0] / records, value_discretization_interval=interval
        )
    shares = [float(share) for share in stats.binom(records, parameters[0]).pmf(range(records + 1))]
    return privacy_loss_distribution.from_mixture_gaussian_mechanism(
        standard_deviation=parameters[1],
        sensitivities=[float(drawn) for drawn in range(records + 1)],
        sampling_probs=[*shares[:-1], max(0.0, 1.0 - math.fsum(shares[:-1]))],
        value_discretization_interval=interval,
    )
