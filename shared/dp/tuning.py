"""What choosing the best of several runs on private data costs.

Offered in one form: the number of runs is drawn from a geometric distribution, each run is drawn
at random among the settings, and the best is published. Anything else is composition of all runs.

Source: Papernot & Steinke 2022 (arXiv:2110.03620), theorem 2 with η = 1.
"""

import math

import dp_accounting
from dp_accounting import dp_event as dp
from dp_accounting.rdp import RdpAccountant

from shared.dp.accounting import rounded_up
from shared.dp.curves import ORDERS
from shared.dp.steps import merged
from shared.errors import ConfigurationError

_GEOMETRIC = 1.0  # shape of the truncated negative binomial distribution


def tuned_epsilon(event: dp.DpEvent, mean_runs: float, delta: float) -> float:
    """Epsilon at `delta` of publishing the best of a geometric number of runs, rounded up.

    Under add-or-remove-one, and under zero-out for steps without a cap on the sample, which then
    have the same divergences or smaller ones.

    Args:
        event: What one run exposes a unit to; of steps that Rényi DP knows.
        mean_runs: Expected number of runs, above 1.
        delta: In (0, 1).

    Returns:
        At least 0; infinity where a run is not private.

    Raises:
        ConfigurationError: `mean_runs` is not above 1, `delta` is outside (0, 1), or the
            accountant does not know `event`.
        PrivacyError: `event` has a parameter outside its domain.
    """
    if not (math.isfinite(mean_runs) and mean_runs > 1.0):
        raise ConfigurationError(f"expected more than one run on average, got {mean_runs!r}")
    if not 0.0 < delta < 1.0:
        raise ConfigurationError(f"delta must be in (0, 1), got {delta!r}")
    counts = merged(event)
    if any(isinstance(part, dp.NonPrivateDpEvent) for part, _ in counts):
        return math.inf
    run = dp.ComposedDpEvent([dp.SelfComposedDpEvent(*part) for part in counts])
    accountant = RdpAccountant(
        orders=list(ORDERS),
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    )
    tuned = dp.RepeatAndSelectDpEvent(run, mean_runs, _GEOMETRIC)
    if not accountant.supports(tuned):
        raise ConfigurationError("expected a run of steps with Rényi bounds, got another")
    accountant.compose(tuned)
    return rounded_up(float(accountant.get_epsilon(delta)))
