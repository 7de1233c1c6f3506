"""Rényi divergences of single steps, at the orders where epsilon is looked for.

Source: Mironov 2017 (arXiv:1702.07476); Mironov, Talwar & Zhang 2019 (arXiv:1908.10530). All by the
library dp-accounting; docs/privacy.md says where we work around it.
"""

import logging
import math
from functools import lru_cache

import dp_accounting
import numpy as np
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant

from shared.dp.integer_event import continuous, is_integer
from shared.dp.mechanisms import Adjacency

RELATIONS = {
    Adjacency.ADD_OR_REMOVE_ONE: dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    # dp-accounting's name for zero-out
    Adjacency.ZERO_OUT: dp_accounting.NeighboringRelation.REPLACE_SPECIAL,
    # its PLD doubles the sensitivity itself
    Adjacency.REPLACE_ONE: dp_accounting.NeighboringRelation.REPLACE_ONE,
}
# dp-accounting's own orders, whose fractions make large epsilons up to seven times smaller, and
# every whole one to 64. A fractional order whose series does not converge is left out by it.
_WHOLE = (*range(11, 65), 80, 96, 128, 192, 256, 512, 1024, 4096)
ORDERS = (*(tenth / 10 for tenth in range(11, 110)), *_WHOLE)
_LAST_BITS = 1e-13  # of a divergence, at most


@lru_cache(maxsize=1024)
def renyi_curve(part: dp.DpEvent, adjacency: Adjacency) -> tuple[float, ...] | None:
    """Rényi divergence of one step at each of ORDERS; None where it is not known."""
    if is_integer(part):
        return _integer_curve(part, adjacency)
    accountant = RdpAccountant(orders=list(ORDERS), neighboring_relation=RELATIONS[adjacency])
    if not accountant.supports(part):
        return None
    log = logging.getLogger("absl")
    log.addFilter(_is_news)
    try:
        accountant.compose(part)
    finally:
        log.removeFilter(_is_news)
    # Guarantee: the logarithms' last bits may make a tiny divergence smaller, even negative, which
    # dp-accounting takes for an epsilon of zero.
    return tuple((np.maximum(accountant.rdp, 0.0) + _LAST_BITS).tolist())


def _integer_curve(part: dp.DpEvent, adjacency: Adjacency) -> tuple[float, ...] | None:
    """At whole orders that of the continuous counterpart; at any other that of the next whole one.

    Sampled, both formulas are the same sum over the unsampled divergences of whole orders
    (Mironov, Talwar & Zhang 2019, theorem 5 for symmetric noise); none between them is known.
    """
    if adjacency is Adjacency.REPLACE_ONE:
        return None  # the library's are of the sensitivity to one unit more or less
    # Unreachable: that it has none; an empty curve would be refused here.
    curve = renyi_curve(continuous(part), adjacency) or ()
    known = dict(zip(ORDERS, curve, strict=True))
    # Guarantee: the divergence does not fall with the order.
    return tuple(known[math.ceil(order)] for order in ORDERS)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a person should read it: leaving out an order costs tightness only."""
    return "failed to converge" not in record.getMessage()
