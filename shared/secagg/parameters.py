"""Degree, committee and thresholds from the adversary that a run names.

A client's masks hide it as long as its path to other honest survivors is not cut. The server
chooses who counts as dropped, and may choose it knowing the graph: so a committee member looks
itself that each `span` clients in a row (of the round's public circle) hold `present` survivors,
more than are corrupt in any such row. Then each row holds an honest survivor, every two neighbours
on the circle of honest survivors share a mask, and all of them are connected (docs/adr/0011).

The server chooses the cohort too: it may ask every corrupt client of the roster and few others. So
the corrupt are counted over the roster, not over the cohort.

Tails are hypergeometric and summed in whole numbers. Security 2⁻⁴⁰ against a server that tries 2⁶⁰
contexts on its own until it likes the graph, so each event 2⁻¹⁰⁰; an honest round fails with 2⁻³⁰.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from shared.errors import ConfigurationError

COMPLETE_UP_TO = 40
SMALLEST = 3
SECURITY = Fraction(1, 2**100)
CORRECTNESS = Fraction(1, 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationParameters:
    """What every party derives alike from the size of a cohort.

    Attributes:
        cohort_size: n.
        corrupt: Clients of the cohort that may work with the server.
        dropped: Clients that may fail to answer.
        span: Neighbours on each side of the circle; each client masks with 2·span, or with all.
        present: Survivors that each `span` in a row must hold; 0 where all mask with all.
        committee_size: L, clients who hold shares; or the helpers, all of whom must answer.
        threshold: l, shares that give a secret back.
        survivors: Fewest that may be summed.
        helped: Whether clients mask with helpers, and not with one another.
    """

    cohort_size: int
    corrupt: int
    dropped: int
    span: int
    present: int
    committee_size: int
    threshold: int
    survivors: int
    helped: bool = False

    @property
    def complete(self) -> bool:
        """Whether everybody masks with everybody."""
        return self.present == 0

    @property
    def degree(self) -> int:
        """Clients that each one masks with."""
        if self.helped:
            return self.committee_size
        return self.cohort_size - 1 if self.complete else 2 * self.span


@lru_cache(maxsize=64)
def parameters_for(
    cohort_size: int,
    roster_size: int,
    corrupt_fraction: float,
    dropped_fraction: float,
    helpers: int = 0,
) -> AggregationParameters:
    """The cheapest parameters that reach the stated levels.

    Args:
        cohort_size: At least SMALLEST.
        roster_size: Clients that are enrolled, whether or not they are asked.
        corrupt_fraction: γ in [0, 1), of the roster.
        dropped_fraction: δ in [0, 1), of the cohort.
        helpers: Fixed clients that each one masks with, all of whom must answer and one of whom
            must be honest, whatever γ is; 0: a committee that is drawn for each round.

    Raises:
        ConfigurationError: fewer than SMALLEST helpers; no parameters reach them, or fewer than
            two honest survivors could be left to be summed.
    """
    n = cohort_size
    if not SMALLEST <= n <= roster_size or not (
        0.0 <= corrupt_fraction < 1.0 and 0.0 <= dropped_fraction < 1.0
    ):
        raise ConfigurationError(
            f"expected at least {SMALLEST} clients of the roster and fractions in [0, 1), got {n} "
            f"of {roster_size}, {corrupt_fraction!r} and {dropped_fraction!r}"
        )
    # Guarantee: whom the server asks is its choice, so all the corrupt may be among them.
    corrupt = min(_share(roster_size, corrupt_fraction), n)
    dropped = _share(n, dropped_fraction)
    if n - dropped - corrupt < 2:
        raise ConfigurationError(
            f"a sum of fewer than 2 honest clients hides nobody: got {n} with {corrupt} corrupt "
            f"and {dropped} dropped"
        )
    if helpers and not SMALLEST <= helpers <= n:
        raise ConfigurationError(
            f"expected from {SMALLEST} helpers to the {n} clients that are asked, got {helpers}"
        )
    committee, threshold = (helpers, helpers) if helpers else _committee(n, corrupt, dropped)
    span, present = (0, 0) if helpers else _span(n, corrupt, dropped)
    return AggregationParameters(
        cohort_size=n,
        corrupt=corrupt,
        dropped=dropped,
        span=span,
        present=present,
        committee_size=committee,
        threshold=threshold,
        survivors=n - dropped,
        helped=helpers > 0,
    )


def tail(population: int, marked: int, drawn: int, at_least: int) -> Fraction:
    """P[a draw of `drawn` from `population` holds `at_least` of the `marked`], exactly."""
    low, high = max(at_least, drawn - (population - marked), 0), min(drawn, marked)
    if low > high:
        return Fraction(0)
    term = math.comb(marked, low) * math.comb(population - marked, drawn - low)
    total = term
    for i in range(low, high):
        # From C(m, i)·C(N-m, d-i) to the next; the division is without remainder.
        term = (
            term * (marked - i) * (drawn - i) // ((i + 1) * (population - marked - drawn + i + 1))
        )
        total += term
    return Fraction(total, math.comb(population, drawn))


def _share(count: int, fraction: float) -> int:
    return math.floor(count * fraction + 1e-9)


def _most(population: int, marked: int, drawn: int, level: Fraction) -> int:
    """The fewest m such that a draw holds more than m of the marked with `level` at most."""
    low, high = 0, min(marked, drawn)
    while low < high:
        middle = (low + high) // 2
        if tail(population, marked, drawn, middle + 1) <= level:
            high = middle
        else:
            low = middle + 1
    return low


def _committee(n: int, corrupt: int, dropped: int) -> tuple[int, int]:
    """(L, l): no two different answers and no corrupt reconstruction; alive members suffice."""
    for size in [n] if n <= COMPLETE_UP_TO else range(10, n + 1):
        bad = _most(n, corrupt, size, SECURITY)
        # Guarantee: each honest member answers once. Two answers of l each would need
        # 2l - bad > size honest ones; and l > bad.
        threshold = (size + bad) // 2 + 1
        if threshold <= size - _most(n, dropped, size, CORRECTNESS):
            return size, threshold
    raise ConfigurationError(
        f"no committee of {n} clients stands {corrupt} corrupt and {dropped} dropped ones: the "
        "corrupt and twice the dropped must be fewer than all"
    )


def _span(n: int, corrupt: int, dropped: int) -> tuple[int, int]:
    """(span, present), or all with all."""
    if n <= COMPLETE_UP_TO:
        return (n - 1 + 1) // 2, 0
    for span in range(1, (n - 1) // 2 + 1):
        # Of any of n rows.
        bad = _most(n, corrupt, span, SECURITY / n)
        gone = _most(n, dropped, span, CORRECTNESS / n)
        if span - gone > bad:
            return span, bad + 1
    return n // 2, 0
