"""Noise for a promise: the smallest noise multiplier whose claim stays within a target.

By dp-accounting's `calibrate_dp_mechanism`, which never returns a value above the target, over our
own claims, so that what is planned and what is reported are one number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import dp_accounting
from dp_accounting import dp_event as dp

from shared.dp.accounting import LIVE_INTERVAL, claim_of
from shared.dp.mechanisms import Adjacency
from shared.errors import ConfigurationError, PrivacyError

_LEAST, _MOST = 0.02, 1e7
_ROUGH, _FINE = 5e-3, 5e-4  # tolerance, relative to the noise multiplier
EventOf = Callable[[float], dp.DpEvent]


def calibrated_noise(
    event_of: EventOf, target_epsilon: float, delta: float, adjacency: Adjacency
) -> float:
    """A noise multiplier z with epsilon(event_of(z)) ≤ `target_epsilon`, close to the least.

    Args:
        event_of: Event of the whole run at a noise multiplier; more noise, less epsilon.
        target_epsilon: Positive and finite.
        delta: In (0, 1).
        adjacency: Of the claim.

    Returns:
        z, rounded up to four significant digits.

    Raises:
        ConfigurationError: `target_epsilon` is not positive and finite.
        PrivacyError: no noise multiplier up to 10⁷ keeps the target.

    >>> calibrated_noise(dp.GaussianDpEvent, 1.0, 1e-5, Adjacency.ADD_OR_REMOVE_ONE)
    3.731
    """
    if not (math.isfinite(target_epsilon) and target_epsilon > 0.0):
        raise ConfigurationError(
            f"target epsilon must be positive and finite, got {target_epsilon!r}"
        )

    def claimed(noise_multiplier: float, interval: float | None = None) -> float:
        event = event_of(noise_multiplier)
        return claim_of(event, delta, adjacency, interval=interval)

    if claimed(_LEAST, LIVE_INTERVAL) <= target_epsilon:
        return _LEAST
    search = _Search(event_of, target_epsilon, delta, adjacency)
    rough = search.between(_LEAST, _enough(claimed, target_epsilon), LIVE_INTERVAL)
    found = _rounded_up(rough)
    # The report's finer distribution is never looser by more than rounding, and often tighter.
    low = 0.95 * rough
    if claimed(low) > target_epsilon >= claimed(rough):
        found = _rounded_up(search.between(low, rough, None))
    # Guarantee: checked with the accountant of the report; rounding up adds noise only.
    while claimed(found) > target_epsilon:
        found = _rounded_up(found * (1.0 + 1e-3))
    return found


def _enough(claimed: Callable[[float, float], float], target: float) -> float:
    noise = 1.0
    while claimed(noise, LIVE_INTERVAL) > target:
        noise *= 2.0
        if noise > _MOST:
            raise PrivacyError(f"no noise multiplier up to {_MOST:g} keeps epsilon at {target!r}")
    return noise


@dataclass(frozen=True)
class _Search:
    event_of: EventOf
    target: float
    delta: float
    adjacency: Adjacency

    def between(self, low: float, high: float, interval: float | None) -> float:
        """A noise multiplier within the target, by Brent's method."""
        value: float = dp_accounting.calibrate_dp_mechanism(
            lambda: _Claims(self.adjacency, interval),
            self.event_of,
            self.target,
            self.delta,
            bracket_interval=dp_accounting.ExplicitBracketInterval(low, high),
            tol=(_ROUGH if interval else _FINE) * high,
        )
        return value


def _rounded_up(value: float) -> float:
    digits = 3 - math.floor(math.log10(value))
    scaled = round(value * 10.0**digits, 9)
    return round(math.ceil(scaled) / 10.0**digits, max(digits, 0))


@dataclass
class _Claims:
    """Our claims in the form that the calibration asks of an accountant."""

    adjacency: Adjacency
    interval: float | None
    ledger: dp.DpEvent = dp.NoOpDpEvent()  # noqa: RUF009 - without state

    def compose(self, event: dp.DpEvent) -> Self:
        """Take `event` as all there is."""
        self.ledger = event
        return self

    def get_epsilon(self, delta: float) -> float:
        """The claim; finite, since root finding needs numbers."""
        claim = claim_of(self.ledger, delta, self.adjacency, interval=self.interval)
        return min(claim, 1e12)
