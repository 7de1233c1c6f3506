"""The epsilon of a privacy loss distribution at a delta: what dp-accounting finds, in one pass.

The library goes through the losses one by one in Python, which is most of what a report's
epsilons cost. Here the same sums are formed by NumPy, in the same order.

Source: dp-accounting 0.6, `PrivacyLossDistribution.get_epsilon_for_delta`; Sommer et al. 2019.
"""

import math

import numpy as np
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from numpy.typing import NDArray


def epsilon_at(distribution: PrivacyLossDistribution, delta: float) -> float:
    """The least epsilon >= 0 at which no direction's divergence is above `delta`.

    Args:
        distribution: Composed, of a pessimistic discretisation.
        delta: In (0, 1).

    Returns:
        As the library's own, to the last few bits; infinity where there is none.
    """
    found = _one_direction(distribution._pmf_remove, delta)  # noqa: SLF001 - no public reader
    if distribution._symmetric:  # noqa: SLF001 - likewise
        return found
    return max(found, _one_direction(distribution._pmf_add, delta))  # noqa: SLF001 - likewise


def _one_direction(pmf: object, delta: float) -> float:
    dense = pmf.to_dense_pmf()  # type: ignore[attr-defined]
    infinite = float(dense._infinity_mass)  # noqa: SLF001 - no public reader
    if infinite > delta:
        return math.inf
    first, masses = dense._lower_loss, np.asarray(dense._probs)  # noqa: SLF001 - no public reader
    # From the largest loss down to zero: below it no epsilon lies.
    kept, largest = max(0, len(masses) - max(0, 1 - first)), first + len(masses) - 1
    places = np.arange(largest, largest - kept, -1)
    losses = places * dense._discretization  # noqa: SLF001 - no public reader
    return _solved(losses, masses[::-1][:kept], infinite, delta)


def _solved(
    losses: NDArray[np.float64], masses: NDArray[np.float64], infinite: float, delta: float
) -> float:
    """Of losses > 0, descending, and their masses; what lies at or below 0 counts no more."""
    upper = np.cumsum(np.append(infinite, masses))
    lower = np.cumsum(np.append(0.0, np.exp(-losses) * masses))
    vanished = np.flatnonzero((upper[1:] >= delta) & (lower[1:] == 0.0))
    if len(vanished):
        return float(losses[vanished[0]])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Where the first k losses are above epsilon, delta is upper[k] - e^epsilon * lower[k].
        solutions = np.log((upper - delta) / lower)
    within = (upper > delta) & (lower > 0.0) & (solutions >= np.append(losses, -math.inf))
    reached = np.flatnonzero(within)
    if len(reached):
        return max(0.0, float(solutions[reached[0]]))
    # Guarantee: sums that are no numbers fail the comparison, and bound nothing.
    return 0.0 if upper[-1] <= delta else math.inf
