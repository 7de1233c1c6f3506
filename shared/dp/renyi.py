"""Rényi spending in whole numbers, for whoever enforces a budget rather than reports one.

A filter over Rényi divergences stays valid when a server chooses its next event after seeing the
last answer; a PLD does not. Costs are whole multiples of 10⁻⁹, rounded up; limits are rounded down;
so no sum of floats can drift below the truth.

Source: Feldman & Zrnic 2021 (arXiv:2008.11193), Lécuyer 2021 (arXiv:2103.01379) for the filter;
Canonne, Kamath & Steinke 2020, proposition 12 for the step from Rényi divergence to epsilon.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from dp_accounting import dp_event as dp
from numpy.typing import NDArray

from shared.dp.curves import ORDERS, renyi_curve
from shared.dp.mechanisms import Adjacency
from shared.dp.steps import Counts, merged, without_sampling
from shared.errors import ConfigurationError, PrivacyError

_KEPT = {
    *(tenth / 10 for tenth in (11, 12, 13, 14, 15, 16, 18, 20, 22, 25, 28, 30, 35, 40, 45)),
    *(5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256, 512, 1024),
}
RENYI_ORDERS = tuple(order for order in ORDERS if order in _KEPT)
SCALE = 10**9
_MOST = 2**60  # of a cost or a sum, as good as infinite: two of them still fit 64 bits
Spending = tuple[int, ...]
NOTHING: Spending = (0,) * len(RENYI_ORDERS)
Matrix = NDArray[np.int64]


def renyi_cost(event: dp.DpEvent, adjacency: Adjacency | str, *, unit: str) -> Spending:
    """Rényi divergence of `event` at each of RENYI_ORDERS, in 10⁻⁹, rounded up.

    Args:
        event: What one unit was exposed to.
        adjacency: Replace-one is known for Gaussian events alone, at twice the sensitivity.
        unit: record: the client draws the records itself, so their sampling counts. client: whoever
            owns the data knows that he was asked, so the sampling of clients does not.

    Raises:
        PrivacyError: an event that cannot be bounded, or that is not known.
    """
    if unit not in {"record", "client"}:
        raise PrivacyError(f"expected a unit of privacy, got {unit!r}")
    counts = merged(event)
    if unit == "client":
        # Guarantee: the owner's ledger charges participation at sampling rate 1.
        counts = without_sampling(counts)
    return _cost(counts, Adjacency(adjacency))


@lru_cache(maxsize=1024)
def _cost(counts: Counts, adjacency: Adjacency) -> Spending:
    if any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in counts):
        raise PrivacyError("expected an event that can be bounded, got a release without privacy")
    if adjacency is Adjacency.REPLACE_ONE:
        if not all(isinstance(part, dp.GaussianDpEvent) for part, _ in counts):
            raise PrivacyError("replace-one is known for Gaussian events without sampling only")
        # dp-accounting 0.6's RDP ignores the doubled sensitivity (its issue 378).
        counts = tuple((dp.GaussianDpEvent(part.noise_multiplier / 2), n) for part, n in counts)
        adjacency = Adjacency.ADD_OR_REMOVE_ONE
    total = [0] * len(RENYI_ORDERS)
    for part, count in counts:
        curve = renyi_curve(part, adjacency)
        if curve is None:
            raise PrivacyError(f"expected an event with Rényi bounds, got {type(part).__name__}")
        known = dict(zip(ORDERS, curve, strict=True))
        for place, order in enumerate(RENYI_ORDERS):
            total[place] += count * _units(known[order])
    return tuple(min(cost, _MOST) for cost in total)


def _units(divergence: float) -> int:
    return _MOST if not math.isfinite(divergence * SCALE) else math.ceil(divergence * SCALE)


def added(spent: Spending, cost: Spending) -> Spending:
    """Both together; never beyond what is as good as infinite."""
    return tuple(min(a + b, _MOST) for a, b in zip(spent, cost, strict=True))


@dataclass(frozen=True)
class RenyiBudget:
    """(epsilon, delta) as limits on Rényi spending.

    Args:
        epsilon: Positive and finite.
        delta: In (0, 1).

    Raises:
        ConfigurationError: outside these.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse a budget that limits nothing."""
        if not (math.isfinite(self.epsilon) and self.epsilon > 0 and 0 < self.delta < 1):
            raise ConfigurationError(
                "expected a finite epsilon above 0 and a delta in (0, 1), got "
                f"{self.epsilon!r} and {self.delta!r}"
            )

    @cached_property
    def limits(self) -> Spending:
        """Most that may be spent at each order, rounded down; below 0: nothing at that order."""
        return tuple(
            max(
                -1,
                min(_MOST - 1, math.floor((self.epsilon - _overhead(order, self.delta)) * SCALE)),
            )
            for order in RENYI_ORDERS
        )

    def admits(self, spent: Spending, cost: Spending) -> bool:
        """Whether `cost` still fits; decided by public numbers alone."""
        # Guarantee: some order bounds the total; which one may change from charge to charge.
        return any(a + b <= limit for a, b, limit in zip(spent, cost, self.limits, strict=True))

    def admits_each(self, spent: Matrix, cost: Spending) -> NDArray[np.bool_]:
        """The same decisions for many units at once: `spent` has shape (n, orders)."""
        fits = spent + _row(cost) <= _row(self.limits)
        return np.asarray(fits.any(axis=1), dtype=np.bool_)

    def charge_each(self, spent: Matrix, cost: Spending) -> Matrix:
        """`spent` and `cost` together, row by row; never beyond what is as good as infinite."""
        # Guarantee: without the cap a few infinite costs would wrap around to a negative sum.
        total: Matrix = np.minimum(spent + _row(cost), _MOST)
        return total

    def epsilon_of(self, spent: Sequence[int]) -> float:
        """Epsilon of what was spent, at the budget's delta, rounded up to four decimals."""
        if not any(spent):
            return 0.0
        bounds = [
            amount / SCALE + _overhead(order, self.delta)
            for amount, order in zip(spent, RENYI_ORDERS, strict=True)
            if amount < _MOST
        ]
        if not bounds:
            return math.inf
        return math.ceil(max(0.0, min(bounds)) * 1e4 + 1e-6) / 1e4

    def times(self, spent: Spending, cost: Spending) -> int:
        """How many such costs still fit."""
        left = [
            (limit - used) // price
            for used, price, limit in zip(spent, cost, self.limits, strict=True)
            if price and limit >= used
        ]
        return max(left, default=0)


@lru_cache(maxsize=256)
def _row(numbers: Spending) -> Matrix:
    return np.array(numbers, dtype=np.int64)


def _overhead(order: float, delta: float) -> float:
    return math.log1p(-1.0 / order) - math.log(delta * order) / (order - 1.0)
