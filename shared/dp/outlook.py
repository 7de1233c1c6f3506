"""What a plan would cost, and what it would cost otherwise: over rounds, delta, cohort and noise.

Every epsilon is an upper bound. Tables use a coarser discretisation than the report: never below
it, and equal to about three digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dp_accounting import dp_event as dp

from shared.dp.accounting import LIVE_INTERVAL, Epsilon, claim_of, epsilon_of
from shared.dp.calibration import calibrated_noise
from shared.dp.mechanisms import Adjacency, ClientPrivacy, RecordPrivacy
from shared.dp.sampling import cohort_cap

Curve = tuple[tuple[float, float], ...]
_POINTS = 10
_DELTAS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
NOISE_FACTORS = (0.7, 0.85, 1.0, 1.25, 1.5, 2.0)
RATE_FACTORS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A run that is being thought about.

    Attributes:
        unit: record or client.
        population: Number N of clients.
        sample_rate: q of records in a step, or of clients in a round.
        rounds: Number T of rounds.
        steps: Noisy steps a round; 1 at client level.
        delta: Of the claim.
        distributed: Whether each client adds a share of the noise, in whole numbers.
    """

    unit: str
    population: int
    sample_rate: float
    rounds: int
    steps: int
    delta: float
    distributed: bool = False

    @property
    def adjacency(self) -> Adjacency:
        """Of the unit's mechanism."""
        return (ClientPrivacy if self.unit == "client" else RecordPrivacy).adjacency

    def event(self, noise_multiplier: float) -> dp.DpEvent:
        """All that a unit is exposed to if it is asked in every round."""
        return dp.SelfComposedDpEvent(self._mechanism(noise_multiplier).round_event(), self.rounds)

    def noise_for(self, target_epsilon: float) -> float:
        """The smallest noise multiplier within the target; never overshoots it.

        Raises:
            ConfigurationError: the target is not positive and finite.
            PrivacyError: no noise keeps it.
        """
        return calibrated_noise(self.event, target_epsilon, self.delta, self.adjacency)

    def claim(self, noise_multiplier: float) -> Epsilon:
        """As the report would state it."""
        return epsilon_of(self.event(noise_multiplier), self.delta, self.adjacency)

    def claim_without_amplification(self, noise_multiplier: float) -> Epsilon:
        """The same for an observer who knows who took part."""
        bare = self._mechanism(noise_multiplier).round_event_without_amplification()
        event = dp.SelfComposedDpEvent(bare, self.rounds)
        return epsilon_of(event, self.delta, self.adjacency)

    def over_rounds(self, noise_multiplier: float) -> Curve:
        """(rounds, epsilon after them), ascending, the last being all."""
        counts = sorted({math.ceil(self.rounds * i / _POINTS) for i in range(1, _POINTS + 1)})
        plans = [replace(self, rounds=count) for count in counts]
        return tuple((plan.rounds, plan.coarse_epsilon(noise_multiplier)) for plan in plans)

    def over_delta(self, noise_multiplier: float) -> Curve:
        """(delta, epsilon at it), delta descending; the plan's own is among them."""
        deltas = sorted({*_DELTAS, self.delta}, reverse=True)
        return tuple(
            (delta, replace(self, delta=delta).coarse_epsilon(noise_multiplier)) for delta in deltas
        )

    def what_if(self, noise_multiplier: float) -> tuple[tuple[float, Curve], ...]:
        """(noise multiplier, ((sample rate, epsilon), ...)) around the plan."""
        rates = self.rates()
        return tuple(
            (
                z,
                tuple((rate, replace(self, sample_rate=rate).coarse_epsilon(z)) for rate in rates),
            )
            for z in (round(noise_multiplier * factor, 4) for factor in NOISE_FACTORS)
        )

    def rates(self) -> Sequence[float]:
        """The sample rates of `what_if`."""
        return sorted({min(1.0, self.sample_rate * factor) for factor in RATE_FACTORS})

    def _mechanism(self, noise_multiplier: float) -> ClientPrivacy | RecordPrivacy:
        if self.unit == "client":
            return ClientPrivacy(
                clipping_norm=1.0,
                noise_multiplier=noise_multiplier,
                sample_rate=self.sample_rate,
                population=self.population,
                cap=cohort_cap(self.population, self.sample_rate),
                # Shares are summed under masks, and masks name the cohort to all in it.
                cohort_is_told=self.distributed,
                distributed=self.distributed,
            )
        return RecordPrivacy(
            clipping_norm=1.0,
            noise_multiplier=noise_multiplier,
            sample_rate=self.sample_rate,
            steps_per_round=self.steps,
            batch_size=1,
            distributed=self.distributed,
        )

    def coarse_epsilon(self, noise_multiplier: float) -> float:
        """At or above the claim, and sooner."""
        event = self.event(noise_multiplier)
        return claim_of(event, self.delta, self.adjacency, interval=LIVE_INTERVAL)
