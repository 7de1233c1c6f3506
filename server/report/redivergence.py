"""Rényi divergences of counted steps, a second time; see `recomputation`.

Of continuous noise by dp-accounting. Of integer noise by code of its own: a sum over whole orders,
in which nothing but the divergences of whole orders without sampling is used.

Source: Mironov, Talwar & Zhang 2019 (arXiv:1908.10530), section 3.3, for the sum.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant

# A kind and its parameters, the noise multiplier last: of gaussian and integer that alone, of
# poisson and poisson_integer the rate before it, of truncated population, rate and cap.
Step = tuple[str, tuple[float, ...]]
Counts = Mapping[Step, int]
_WHOLE = (*range(11, 65), 80, 96, 128, 192, 256, 512, 1024, 4096)
ORDERS = (*(n / 10 for n in range(11, 110)), *_WHOLE)
SHOWN_ORDERS = {1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 128, 256, 512}
_INTEGER = {"integer": "gaussian", "poisson_integer": "poisson"}
_BITS = 1e-13


def has_integers(counts: Counts) -> bool:
    """Whether any step has integer noise, which no distribution here bounds."""
    return any(kind in _INTEGER for kind, _ in counts)


def continuous(counts: Counts) -> Counter[Step]:
    """The same with continuous noise: to compare with, no bound."""
    found: Counter[Step] = Counter()
    for (kind, parameters), count in counts.items():
        found[_INTEGER.get(kind, kind), parameters] += count
    return found


def unsampled(counts: Counts) -> Counter[Step]:
    """The same steps for who knows who took part."""
    found: Counter[Step] = Counter()
    for (kind, parameters), count in counts.items():
        found["integer" if kind in _INTEGER else "gaussian", (parameters[-1],)] += count
    return found


def together(counts: Counts, records: int) -> Counter[Step]:
    """Steps to which `records` records of one person are no more exposed than to the true ones.

    Drawn is whoever of them is; all of them move the sum then.
    """
    found: Counter[Step] = Counter()
    for (kind, parameters), count in counts.items():
        if kind == "truncated":
            raise KeyError(kind)
        drawn = [-math.expm1(records * math.log1p(-rate)) for rate in parameters[:-1]]
        found[kind, (*drawn, parameters[-1] / records)] += count
    return found


def total(counts: Counts, relation: Any) -> Any | None:
    """Divergence of all steps at each of ORDERS; None where it is not known."""
    found = np.zeros(len(ORDERS))
    for step, count in counts.items():
        curve = _curve(step, relation)
        if curve is None:
            return None
        found += count * np.array(curve)
    return found


def orders_shown(divergences: Sequence[float]) -> list[tuple[float, float]]:
    """Those of the report's curve, with finite divergence; none above that of a higher order."""
    shown, least = list[tuple[float, float]](), math.inf
    for order, divergence in sorted(zip(ORDERS, divergences, strict=True), reverse=True):
        least = min(least, float(divergence))
        if order in SHOWN_ORDERS and math.isfinite(least):
            shown.insert(0, (float(order), least))
    return shown


@lru_cache(maxsize=64)
def _curve(step: Step, relation: Any) -> tuple[float, ...] | None:
    if step[0] in _INTEGER:
        return tuple(_of_integers(math.ceil(order), step[1]) + _BITS for order in ORDERS)
    accountant, event = RdpAccountant(list(ORDERS), relation), _event(step)
    if not accountant.supports(event):
        return None
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)  # an order that does not converge is left out, and said each time
    try:
        accountant.compose(event)
    finally:
        log.setLevel(level)
    return tuple(float(value) for value in np.maximum(accountant.rdp, 0.0) + _BITS)


def _of_integers(order: int, parameters: tuple[float, ...]) -> float:
    """ln Σ_j binom(α, j) (1-q)^(α-j) q^j e^(j(j-1)/2z²) / (α-1), at a whole order α."""
    noise = parameters[-1]
    if len(parameters) == 1:
        return order / (2.0 * noise**2)
    rate = parameters[0]
    terms = [
        math.lgamma(order + 1) - math.lgamma(j + 1) - math.lgamma(order - j + 1)
        + (order - j) * math.log1p(-rate) + j * math.log(rate) + j * (j - 1) / (2.0 * noise**2)
        for j in range(order + 1)
    ]  # fmt: skip
    largest = max(terms)
    spread = math.log(math.fsum(math.exp(term - largest) for term in terms))
    return max(largest + spread, 0.0) / (order - 1)


def _event(step: Step) -> dp.DpEvent:
    kind, parameters = step
    if kind == "gaussian":
        return dp.GaussianDpEvent(*parameters)
    if kind == "poisson":
        return dp.PoissonSampledDpEvent(parameters[0], dp.GaussianDpEvent(parameters[1]))
    return dp.TruncatedSubsampledGaussianDpEvent(*parameters)
