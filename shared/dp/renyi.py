"""Rényi budgets in whole numbers: what a release costs one unit, and whether it still fits.

A cost is ⌈10⁹·ε(α)⌉ at each of RENYI_ORDERS, a limit is rounded down, so that sums of any length
are exact and never too small. The filter admits a release where some order α has
spent(α) + cost(α) ≤ limit(α); it holds for releases chosen after seeing the earlier ones, which
the tighter composition of privacy loss distributions does not.

Source: Feldman & Zrnic 2021 (arXiv:2008.11193) and Lécuyer 2021 (arXiv:2103.01379) for the filter;
Canonne, Kamath & Steinke 2020 (arXiv:2004.00010), proposition 12, for the conversion to epsilon.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import dp_accounting
import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant
from numpy.typing import NDArray

from shared.dp.mechanisms import Adjacency
from shared.dp.steps import Counts, merged, without_sampling
from shared.errors import ConfigurationError, PrivacyError

# Chosen for epsilons of 0.1 to 100 at a delta of 1e-5 to 1e-10.
RENYI_ORDERS: tuple[float, ...] = (
    *(1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 4.5, 5.0),
    *(float(order) for order in (6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48)),
    *(float(order) for order in (56, 64, 80, 96, 128, 192, 256, 512, 1024)),
)
UNITS_PER_NAT = 10**9
# Above every limit, and small enough that the sum of two fits 64 bits.
UNBOUNDED = 10**15
_LAST_BITS = 1e-13  # of a divergence, at most
_RELATIVE = Fraction(10**12 + 1, 10**12)
_RELATIONS = {
    Adjacency.ADD_OR_REMOVE_ONE: dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    Adjacency.ZERO_OUT: dp_accounting.NeighboringRelation.REPLACE_SPECIAL,
}
Cost = tuple[int, ...]
Costs = NDArray[np.int64]  # (clients, orders)
NOTHING: Cost = (0,) * len(RENYI_ORDERS)


def renyi_cost(event: dp.DpEvent, adjacency: Adjacency | str, *, unit: str) -> Cost:
    """What `event` costs one unit at each of RENYI_ORDERS, in 10⁻⁹, rounded up.

    Args:
        event: As `shared.dp.events` knows them.
        adjacency: Replace-one is computed for Gaussian events alone, at twice the sensitivity.
        unit: record: sampling of records, which the site draws itself, makes it cheaper. client:
            sampling of clients does not, since a site that is asked has taken part.

    Returns:
        UNBOUNDED where nothing is promised at an order.

    Raises:
        PrivacyError: an event, adjacency or unit that cannot be accounted.
    """
    if unit not in ("record", "client"):
        raise PrivacyError(f"expected the unit record or client, got {unit!r}")
    counts = merged(event)
    if unit == "client":
        # Guarantee: whoever is asked took part with certainty; the server's draw hides nothing
        # from the site's own account.
        counts = without_sampling(counts)
    return _cost(counts, Adjacency(adjacency))


@lru_cache(maxsize=1024)
def _cost(counts: Counts, adjacency: Adjacency) -> Cost:
    totals: list[Fraction | None] = [Fraction(0)] * len(RENYI_ORDERS)
    for part, count in counts:
        for place, value in enumerate(_curve(part, adjacency)):
            total = totals[place]
            finite = total is not None and math.isfinite(value)
            totals[place] = (
                total + count * Fraction(value) if finite and total is not None else None
            )
    return tuple(_units(total) for total in totals)


def _units(total: Fraction | None) -> int:
    if total is None:
        return UNBOUNDED
    return min(math.ceil(total * _RELATIVE * UNITS_PER_NAT), UNBOUNDED)


def _curve(part: dp.DpEvent, adjacency: Adjacency) -> tuple[float, ...]:
    """Rényi divergence of one step at each order; infinite where it is not known."""
    if isinstance(part, dp.NonPrivateDpEvent):
        return (math.inf,) * len(RENYI_ORDERS)
    if isinstance(part, dp.GaussianDpEvent):
        # dp-accounting 0.6's RDP ignores the doubled sensitivity (its issue 378): so we double it.
        sensitivity = 2.0 if adjacency is Adjacency.REPLACE_ONE else 1.0
        scale = (sensitivity / part.noise_multiplier) ** 2 / 2.0
        return tuple(order * scale + _LAST_BITS for order in RENYI_ORDERS)
    if adjacency is Adjacency.REPLACE_ONE:
        raise PrivacyError("replace-one is accounted for Gaussian events without sampling only")
    accountant = RdpAccountant(
        orders=list(RENYI_ORDERS), neighboring_relation=_RELATIONS[adjacency]
    )
    if not accountant.supports(part):
        raise PrivacyError(f"{type(part).__name__} is not accounted under {adjacency.value}")
    log = logging.getLogger("absl")
    log.addFilter(_is_news)
    try:
        accountant.compose(part)
    finally:
        log.removeFilter(_is_news)
    # Guarantee: the logarithms' last bits may make a tiny divergence smaller, even negative; an
    # order that is not a number is no bound.
    found = np.nan_to_num(np.maximum(accountant.rdp, 0.0) + _LAST_BITS, nan=math.inf)
    return tuple(found.tolist())


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a person should read it: leaving out an order costs tightness only."""
    return "failed to converge" not in record.getMessage()


def added(spent: Cost, cost: Cost) -> Cost:
    """spent + cost at each order, at most UNBOUNDED."""
    return tuple(min(s + c, UNBOUNDED) for s, c in zip(spent, cost, strict=True))


def added_to_many(spent: Costs, cost: Cost) -> Costs:
    """`added` for each row of `spent`, shape (clients, orders)."""
    return np.minimum(spent + np.array(cost, np.int64), UNBOUNDED)


@dataclass(frozen=True, slots=True)
class RenyiBudget:
    """A grant of (ε, δ): what it admits, adaptively, never exceeds ε at δ.

    Attributes:
        epsilon: Above 0.
        delta: In (0, 1).
        limits: At each order, in 10⁻⁹, rounded down; an order with a negative one admits nothing.
    """

    epsilon: float
    delta: float
    limits: Cost = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the limits. Raises ConfigurationError for a number outside its domain."""
        if not (math.isfinite(self.epsilon) and self.epsilon > 0.0):
            raise ConfigurationError(f"epsilon must be above 0 and finite, got {self.epsilon!r}")
        if not 0.0 < self.delta < 1.0:
            raise ConfigurationError(f"delta must be in (0, 1), got {self.delta!r}")
        limits = (self.epsilon + _conversion(order, self.delta) for order in RENYI_ORDERS)
        # Guarantee: one unit less than the floor, for the last bits of two logarithms.
        floors = (math.floor(Fraction(limit) * UNITS_PER_NAT) - 1 for limit in limits)
        object.__setattr__(self, "limits", tuple(min(floor, UNBOUNDED - 1) for floor in floors))

    def admits(self, spent: Cost, cost: Cost, *, share: Fraction | int = 1) -> bool:
        """Whether `cost` fits after `spent` at some order, within `share` of each limit."""
        return any(
            s + c <= limit * share for s, c, limit in zip(spent, cost, self.limits, strict=True)
        )

    def admits_many(self, spent: Costs, cost: Cost) -> NDArray[np.bool_]:
        """`admits` for each row of `spent`, shape (clients, orders); shape (clients,)."""
        after = spent + np.array(cost, np.int64)
        fits: NDArray[np.bool_] = np.any(after <= np.array(self.limits, np.int64), axis=1)
        return fits

    def rounds_left(self, spent: Cost, cost: Cost) -> int:
        """How many releases of `cost` fit after `spent`, each at least one unit at every order."""
        rooms = zip(self.limits, spent, cost, strict=True)
        return max(0, *((limit - s) // max(c, 1) for limit, s, c in rooms))

    def epsilon_of(self, spent: Cost) -> float:
        """Epsilon of `spent` at the budget's delta, rounded up to four decimals."""
        return renyi_epsilon(spent, self.delta)


def renyi_epsilon(spent: Sequence[int], delta: float) -> float:
    """Epsilon at `delta` of what was spent, rounded up to four decimals; infinite if unbounded."""
    if not any(spent):
        return 0.0
    pairs = zip(spent, RENYI_ORDERS, strict=True)
    bounds = [s / UNITS_PER_NAT - _conversion(a, delta) for s, a in pairs if s < UNBOUNDED]
    if not bounds:
        return math.inf
    return max(0, math.ceil(Fraction(min(bounds)) * 10**4 + Fraction(1, 10**5))) / 1e4


def _conversion(order: float, delta: float) -> float:
    """ε(α) = epsilon + this is the largest divergence that gives epsilon at delta."""
    return math.log(delta * order) / (order - 1.0) - math.log1p(-1.0 / order)
