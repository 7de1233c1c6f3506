"""What choosing the best of several runs on private data costs.

Offered in one form: the number of runs is drawn from a geometric distribution, each run is drawn
at random among the settings, and the best is published. Anything else is composition of all runs.

Source: Papernot & Steinke 2022 (arXiv:2110.03620), theorem 2 with η = 1.
"""

import math

import dp_accounting
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant

from shared.dp.accounting import ORDERS
from shared.errors import ConfigurationError

_GEOMETRIC = 1.0  # shape of the truncated negative binomial distribution


def tuned_epsilon(event: dp.DpEvent, mean_runs: float, delta: float) -> float:
    """Epsilon at `delta` of publishing the best of a geometric number of runs, rounded up.

    Args:
        event: What one run exposes a unit to; of steps that Rényi DP knows.
        mean_runs: Expected number of runs, above 1.
        delta: In (0, 1).

    Raises:
        ConfigurationError: `mean_runs` is not above 1, or the accountant does not know `event`.
    """
    if not (math.isfinite(mean_runs) and mean_runs > 1.0):
        raise ConfigurationError(f"expected more than one run on average, got {mean_runs!r}")
    accountant = RdpAccountant(
        orders=list(ORDERS),
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    )
    tuned = dp.RepeatAndSelectDpEvent(event, mean_runs, _GEOMETRIC)
    if not accountant.supports(tuned):
        raise ConfigurationError("expected a run of steps with Rényi bounds, got another")
    accountant.compose(tuned)
    return math.ceil(float(accountant.get_epsilon(delta)) * 1e4 + 1e-6) / 1e4
