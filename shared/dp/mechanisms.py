"""What protects one unit, and the accounting event of exactly that: from one object.

The same object tells the trainer its noise and the accountant its event, so that the epsilon
reported cannot be of another mechanism than the one that ran.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import ClassVar

from dp_accounting import dp_event as dp

from shared.domains import check_domains, fraction, positive


class Adjacency(StrEnum):
    """Which two data sets must be hard to tell apart."""

    ADD_OR_REMOVE_ONE = "add_or_remove_one"
    REPLACE_ONE = "replace_one"
    ZERO_OUT = "zero_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPrivacy:
    """Each site's own DP-SGD: one record more or less is hidden from everyone outside the site.

    Attributes:
        clipping_norm: C, of one record's gradient.
        noise_multiplier: z; the noise on the sum of gradients has standard deviation z·C.
        sample_rate: q, probability that a record takes part in a step.
        steps_per_round: Noisy steps a round, taken whatever data a site holds.
        batch_size: Public constant that divides the noisy sum; not of the data.
    """

    unit: ClassVar[str] = "record"
    adjacency: ClassVar[Adjacency] = Adjacency.ADD_OR_REMOVE_ONE
    clipping_norm: float = field(metadata=positive())
    noise_multiplier: float = field(metadata=positive())
    sample_rate: float = field(metadata=fraction())
    steps_per_round: int = field(metadata=positive())
    batch_size: int = field(metadata=positive())

    def __post_init__(self) -> None:
        """Refuse a mechanism that protects nothing."""
        check_domains(type(self), asdict(self), "")

    @property
    def noise_stddev(self) -> float:
        """Standard deviation of the noise on the sum of clipped gradients."""
        return self.noise_multiplier * self.clipping_norm

    def round_event(self) -> dp.DpEvent:
        """What one round of one site releases."""
        step = _sampled(self.sample_rate, dp.GaussianDpEvent(self.noise_multiplier))
        return dp.SelfComposedDpEvent(step, self.steps_per_round)

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same for an observer who knows which records took part."""
        return dp.SelfComposedDpEvent(
            dp.GaussianDpEvent(self.noise_multiplier), self.steps_per_round
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPrivacy:
    """The server's noise on the sum of clipped updates: one whole client is hidden.

    Attributes:
        clipping_norm: C, of one client's update.
        noise_multiplier: z; the noise on the sum of updates has standard deviation z·C.
        sample_rate: q, probability that a client is asked in a round.
        population: N, public; adjacency is zero-out, so N is the same in both data sets.
        cap: Largest cohort; a larger Poisson draw is cut to a uniform subset.
    """

    unit: ClassVar[str] = "client"
    adjacency: ClassVar[Adjacency] = Adjacency.ZERO_OUT
    clipping_norm: float = field(metadata=positive())
    noise_multiplier: float = field(metadata=positive())
    sample_rate: float = field(metadata=fraction())
    population: int = field(metadata=positive())
    cap: int = field(metadata=positive())

    def __post_init__(self) -> None:
        """Refuse a mechanism that protects nothing."""
        check_domains(type(self), asdict(self), "")

    @property
    def noise_stddev(self) -> float:
        """Standard deviation of the noise on the sum of clipped updates."""
        return self.noise_multiplier * self.clipping_norm

    def round_event(self) -> dp.DpEvent:
        """What one round releases to those who do not see the draw of the cohort."""
        if self.cap >= self.population:
            return _sampled(self.sample_rate, dp.GaussianDpEvent(self.noise_multiplier))
        return dp.TruncatedSubsampledGaussianDpEvent(
            self.population, self.sample_rate, self.cap, self.noise_multiplier
        )

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same for an observer who knows who was asked."""
        return dp.GaussianDpEvent(self.noise_multiplier)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrivacy:
    """Nothing is promised; the report calls the run not private."""

    unit: ClassVar[str] = "none"
    adjacency: ClassVar[Adjacency] = Adjacency.ADD_OR_REMOVE_ONE

    def round_event(self) -> dp.DpEvent:
        """A release without any bound."""
        return dp.NonPrivateDpEvent()

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same."""
        return dp.NonPrivateDpEvent()


Mechanism = RecordPrivacy | ClientPrivacy | NoPrivacy
MECHANISMS: dict[str, type[Mechanism]] = {
    kind.unit: kind for kind in (RecordPrivacy, ClientPrivacy, NoPrivacy)
}


def _sampled(sample_rate: float, event: dp.DpEvent) -> dp.DpEvent:
    return event if sample_rate == 1.0 else dp.PoissonSampledDpEvent(sample_rate, event)
