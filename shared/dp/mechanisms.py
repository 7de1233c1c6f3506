"""What protects one unit, and the accounting event of exactly that: from one object.

The same object tells the trainer its noise and the accountant its event, so that the epsilon
reported cannot be of another mechanism than the one that ran.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import ClassVar

from dp_accounting import dp_event as dp

from shared.domains import check_domains, fraction, non_negative, one_of, positive, within
from shared.dp.adaptive_clipping import update_noise_multiplier
from shared.dp.correlated import (
    BandedNoise,
    CorrelatedNoise,
    TreeNoise,
    banded_sensitivity,
    tree_row_sensitivity,
    tree_sensitivity,
)
from shared.dp.integer_event import IntegerNoiseDpEvent
from shared.errors import ConfigurationError


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
        distributed: Whether the noise is that of the sum over all sites, each adding a share.
    """

    kind: ClassVar[str] = "record"
    unit: ClassVar[str] = "record"
    adjacency: ClassVar[Adjacency] = Adjacency.ADD_OR_REMOVE_ONE
    clipping_norm: float = field(metadata=positive())
    noise_multiplier: float = field(metadata=positive())
    sample_rate: float = field(metadata=fraction())
    steps_per_round: int = field(metadata=positive())
    batch_size: int = field(metadata=positive())
    distributed: bool = False

    def __post_init__(self) -> None:
        """Refuse a mechanism that protects nothing."""
        check_domains(type(self), asdict(self), "")

    @property
    def noise_stddev(self) -> float:
        """Standard deviation of the noise on the sum of clipped gradients."""
        return self.noise_multiplier * self.clipping_norm

    def round_event(self) -> dp.DpEvent:
        """What one round of one site releases."""
        step = _sampled(
            self.sample_rate, noise_event(self.noise_multiplier, distributed=self.distributed)
        )
        return dp.SelfComposedDpEvent(step, self.steps_per_round)

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same for an observer who knows which records took part."""
        return dp.SelfComposedDpEvent(
            noise_event(self.noise_multiplier, distributed=self.distributed), self.steps_per_round
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPrivacy:
    """The server's noise on the sum of clipped updates: one whole client is hidden.

    Attributes:
        clipping_norm: C, of one client's update; with an adaptive clip that of the first round.
        noise_multiplier: z of all that a round releases, as it is accounted.
        sample_rate: q, probability that a client is asked in a round.
        population: N, public; adjacency is zero-out, so N is the same in both data sets.
        cap: Largest cohort; a larger Poisson draw is cut to a uniform subset.
        count_noise_multiplier: σ_b, noise on the count of unclipped updates; 0: the clip is fixed.
        clipping_quantile: γ of an adaptive clip.
        clipping_learning_rate: η of an adaptive clip.
        cohort_is_told: Whether clients learn who else is asked, so that no draw amplifies.
        distributed: Whether each client adds a share of the noise, instead of the server.
    """

    kind: ClassVar[str] = "client"
    unit: ClassVar[str] = "client"
    adjacency: ClassVar[Adjacency] = Adjacency.ZERO_OUT
    clipping_norm: float = field(metadata=positive())
    noise_multiplier: float = field(metadata=positive())
    sample_rate: float = field(metadata=fraction())
    population: int = field(metadata=positive())
    cap: int = field(metadata=positive())
    count_noise_multiplier: float = field(default=0.0, metadata=non_negative())
    clipping_quantile: float = field(default=0.5, metadata=within(0.0, 1.0))
    clipping_learning_rate: float = field(default=0.2, metadata=positive())
    cohort_is_told: bool = False
    distributed: bool = False

    def __post_init__(self) -> None:
        """Refuse a mechanism that protects nothing."""
        check_domains(type(self), asdict(self), "")
        if self.distributed and (self.adaptive or not self.cohort_is_told):
            raise ConfigurationError(
                "distributed noise needs a fixed clip, and a cohort that is told to all in it"
            )
        if self.adaptive:
            update_noise_multiplier(self.noise_multiplier, self.count_noise_multiplier)

    @property
    def adaptive(self) -> bool:
        """Whether the clip follows the updates' norms."""
        return self.count_noise_multiplier > 0.0

    @property
    def update_noise_multiplier(self) -> float:
        """Of the noise on the updates: more than z where the count takes its share of z."""
        if not self.adaptive:
            return self.noise_multiplier
        return update_noise_multiplier(self.noise_multiplier, self.count_noise_multiplier)

    def noise_stddev(self, clipping_norm: float) -> float:
        """Standard deviation of the noise on the sum of updates clipped to `clipping_norm`."""
        return self.update_noise_multiplier * clipping_norm

    def round_event(self) -> dp.DpEvent:
        """What one round releases to those who do not see the draw of the cohort."""
        if self.cohort_is_told:
            return self.round_event_without_amplification()
        if self.cap >= self.population:
            return _sampled(self.sample_rate, dp.GaussianDpEvent(self.noise_multiplier))
        return dp.TruncatedSubsampledGaussianDpEvent(
            self.population, self.sample_rate, self.cap, self.noise_multiplier
        )

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same for an observer who knows who was asked."""
        return noise_event(self.noise_multiplier, distributed=self.distributed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelatedPrivacy:
    """The server's noise, correlated over rounds: one whole client is hidden, without sampling.

    Rests on every client refusing to take part more than k times, or twice within b rounds.

    Attributes:
        clipping_norm: C, of one client's update.
        noise_multiplier: z of the whole run.
        population: N, public.
        rounds: T.
        matrix: tree or banded.
        bands: Of the banded matrix, at most b.
        min_separation: b; a client is asked once in b rounds.
        max_participations: k.
    """

    kind: ClassVar[str] = "correlated_client"
    unit: ClassVar[str] = "client"
    adjacency: ClassVar[Adjacency] = Adjacency.ZERO_OUT
    clipping_norm: float = field(metadata=positive())
    noise_multiplier: float = field(metadata=positive())
    population: int = field(metadata=positive())
    rounds: int = field(metadata=positive())
    matrix: str = field(metadata=one_of("tree", "banded"))
    bands: int = field(metadata=positive())
    min_separation: int = field(metadata=positive())
    max_participations: int = field(metadata=positive())

    def __post_init__(self) -> None:
        """Refuse a matrix whose sensitivity is not the one that is accounted."""
        check_domains(type(self), asdict(self), "")
        if self.matrix == "banded" and self.bands > self.min_separation:
            # Guarantee: else columns of two participations overlap, and √k·‖c‖ is too small.
            raise ConfigurationError(
                f"privacy.bands must be at most privacy.min_separation = {self.min_separation}, "
                f"got {self.bands}"
            )
        if self.rounds > self.min_separation * self.max_participations:
            raise ConfigurationError(
                f"{self.max_participations} participations {self.min_separation} rounds apart "
                f"last {self.min_separation * self.max_participations} rounds, got {self.rounds}"
            )

    @property
    def sensitivity(self) -> float:
        """Of all that is released, for updates of norm 1."""
        if self.matrix == "banded":
            return banded_sensitivity(self.bands, self.max_participations)
        return tree_sensitivity(self.rounds, self.max_participations, self.min_separation)

    @property
    def independent_noise_stddev(self) -> float:
        """Standard deviation of the independent noise before it is correlated."""
        return self.noise_multiplier * self.clipping_norm * self.sensitivity

    def noise(self, dimension: int) -> CorrelatedNoise:
        """The run's noise, from its first round."""
        if self.matrix == "banded":
            return BandedNoise(dimension, self.independent_noise_stddev, self.bands)
        return TreeNoise(dimension, self.independent_noise_stddev, self.rounds)

    def round_event(self) -> dp.DpEvent:
        """What the whole run releases, however many of its rounds are done."""
        return dp.GaussianDpEvent(self.noise_multiplier)

    def repeat_event(self, round_number: int) -> dp.DpEvent:
        """What a second attempt at one round releases more: its row, with independent noise of z.

        No client is in a banded row more than once, and no coefficient is above 1.
        """
        row = 1.0
        if self.matrix == "tree":
            row = tree_row_sensitivity(round_number, self.max_participations, self.min_separation)
        return dp.GaussianDpEvent(self.noise_multiplier * self.sensitivity / row)

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same: nothing is amplified."""
        return dp.GaussianDpEvent(self.noise_multiplier)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrivacy:
    """Nothing is promised; the report calls the run not private."""

    kind: ClassVar[str] = "none"
    unit: ClassVar[str] = "none"
    adjacency: ClassVar[Adjacency] = Adjacency.ADD_OR_REMOVE_ONE

    def round_event(self) -> dp.DpEvent:
        """A release without any bound."""
        return dp.NonPrivateDpEvent()

    def round_event_without_amplification(self) -> dp.DpEvent:
        """The same."""
        return dp.NonPrivateDpEvent()


Mechanism = RecordPrivacy | ClientPrivacy | CorrelatedPrivacy | NoPrivacy
CLIENT_LEVEL = (ClientPrivacy, CorrelatedPrivacy)
MECHANISMS: dict[str, type[Mechanism]] = {
    mechanism.kind: mechanism
    for mechanism in (RecordPrivacy, ClientPrivacy, CorrelatedPrivacy, NoPrivacy)
}


def noise_event(noise_multiplier: float, *, distributed: bool) -> dp.DpEvent:
    """Noise of one party, or a sum of many parties' integer noise."""
    return (IntegerNoiseDpEvent if distributed else dp.GaussianDpEvent)(noise_multiplier)


def _sampled(sample_rate: float, event: dp.DpEvent) -> dp.DpEvent:
    return event if sample_rate == 1.0 else dp.PoissonSampledDpEvent(sample_rate, event)
