"""Epsilon, δ(ε) and error rates of counted steps, by dp-accounting alone; see `recomputation`."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from dp_accounting.rdp import compute_epsilon
from scipy import stats

from server.report.single_steps import (
    CONTINUOUS,
    ORDERS,
    Step,
    renyi_curve,
    several_records,
    single,
)

Counts = Mapping[Step, int]
SHOWN_ORDERS = {1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 512}
_RELATION = dp_accounting.NeighboringRelation
_INTERVALS = (1e-4, 2e-5, 5e-6, 1e-6)
_GRID = 1500


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds on epsilon of the same steps, none rounded; infinity where there is none."""

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
        if is_bare(counts):
            return _gaussian_deltas(mu(counts), places)
        found = np.ones(len(places))
        if not _has_integers(counts):
            bare = _gaussian_deltas(mu(unsampled(counts)), places)
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
        total = np.zeros(len(ORDERS))
        for step, count in counts.items():
            curve = renyi_curve(step, self._relation)
            if curve is None:
                return None
            total += count * np.array(curve)
        return total

    @staticmethod
    def gaussian_size(counts: Counts) -> float | None:
        """μ where nothing is sampled; else None."""
        return mu(counts) if is_bare(counts) else None

    def _computed(self, counts: Counts, interval: float | None) -> Bounds:
        used = interval or _INTERVALS[0]
        if not counts:
            return Bounds(0.0, math.inf, 0.0, used)
        if _has_integers(counts):
            beside = self.bounds(_continuous(counts), interval)
            divergences = self.renyi(counts)
            rdp = float(compute_epsilon(ORDERS, divergences, self._delta)[0])
            return Bounds(beside.pld, rdp, math.inf, beside.interval, integers=True)
        bare, rdp = gaussian(mu(unsampled(counts)), self._delta), math.inf
        if (divergences := self.renyi(counts)) is not None:
            rdp = float(compute_epsilon(ORDERS, divergences, self._delta)[0])
        if is_bare(counts):
            return Bounds(bare, rdp, bare, used)
        excess = min(bare, rdp) / (2e6 * used)
        used *= 10.0 ** math.ceil(math.log10(excess)) if excess > 1.0 else 1.0
        pld = self._pld(counts, used)
        enough = min(5000.0, 200.0 * math.sqrt(sum(counts.values())))
        for finer in () if interval else _INTERVALS[1:]:
            if pld < enough * used:
                used = finer
                pld = self._pld(counts, used)
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
                one = single(step, interval, self._relation)
                composed = composed.compose(one.self_compose(count))
            self._made = {key: composed}  # the last one: each may be large
        return self._made[key]


def group(counts: Counts, records: int, delta: float) -> float:
    """Epsilon of `records` records of one person together, add-or-remove, not rounded."""
    if _has_integers(counts):
        # As many times as sensitive, for who knows who took part.
        several = Counter[Step]()
        for (kind, parameters), count in unsampled(counts).items():
            several[kind, (parameters[-1] / records,)] += count
        return Reaccountant(delta, zeroed=False).bounds(several).least
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
            composed = composed.compose(several_records(step, records, place).self_compose(count))
        epsilon = float(composed.get_epsilon_for_delta(delta))
        found = min(found, math.inf if math.isnan(epsilon) else epsilon)
        if place <= wanted or found > 1e5 * place:
            break
        place = max(place / 10.0, wanted)
    return min(bare, found)


def unsampled(counts: Counts) -> Counter[Step]:
    """The same steps for who knows who took part."""
    found: Counter[Step] = Counter()
    for (kind, parameters), count in counts.items():
        bare = "integer_noise" if kind in CONTINUOUS else "gaussian"
        found[bare, (parameters[-1],)] += count
    return found


def is_bare(counts: Counts) -> bool:
    """Whether nothing is sampled."""
    return all(kind == "gaussian" for kind, _ in counts)


def _has_integers(counts: Counts) -> bool:
    return any(kind in CONTINUOUS for kind, _ in counts)


def _continuous(counts: Counts) -> Counter[Step]:
    found: Counter[Step] = Counter()
    for (kind, parameters), count in counts.items():
        found[CONTINUOUS.get(kind, kind), parameters] += count
    return found


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


def orders_shown(divergences: Sequence[float]) -> list[tuple[float, float]]:
    """Those of the report's curve, with finite divergence; none above that of a higher order."""
    shown, least = list[tuple[float, float]](), math.inf
    for order, divergence in sorted(zip(ORDERS, divergences, strict=True), reverse=True):
        least = min(least, float(divergence))
        if order in SHOWN_ORDERS and math.isfinite(least):
            shown.insert(0, (float(order), least))
    return shown
