"""The run's promise, fixed before the first round: mechanism, sampler and event from one object.

The same object tells the trainer its noise and the accountant its event, so that the epsilon
reported cannot be of another mechanism than the one that ran. The plan is canonical JSON with a
digest; every instruction to a client carries both.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from dp_accounting import dp_event as dp

from shared.config import RunConfig
from shared.dp.sampling import cohort_cap
from shared.errors import ConfigurationError, MessageError


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
    clipping_norm: float
    noise_multiplier: float
    sample_rate: float
    steps_per_round: int
    batch_size: int

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
    clipping_norm: float
    noise_multiplier: float
    sample_rate: float
    population: int
    cap: int

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
_MECHANISMS: dict[str, type[Mechanism]] = {
    kind.unit: kind for kind in (RecordPrivacy, ClientPrivacy, NoPrivacy)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyPlan:
    """Everything that the guarantee depends on; public, and fixed before the first round.

    Attributes:
        rounds: Number T of rounds.
        mechanism: What protects one unit.
        population: N, public.
        cohort_sample_rate: Probability that a client is asked in a round.
        delta: Of every claim.
        epsilon_budget: What the run may spend at most.
    """

    rounds: int
    mechanism: Mechanism
    population: int
    cohort_sample_rate: float
    delta: float
    epsilon_budget: float

    @property
    def denominator(self) -> float:
        """Expected cohort q·N, which divides the sum of updates whoever answers."""
        return self.cohort_sample_rate * self.population

    @property
    def cap(self) -> int:
        """Largest cohort."""
        return cohort_cap(self.population, self.cohort_sample_rate)

    def canonical(self) -> str:
        """The plan as JSON: sorted keys, no spaces; equal plans give equal texts."""
        content = asdict(self) | {
            "mechanism": {"unit": self.mechanism.unit, **asdict(self.mechanism)}
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def digest(self) -> str:
        """SHA-256 of `canonical()`, hexadecimal."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> "PrivacyPlan":
        """Inverse of `canonical`.

        Raises:
            MessageError: not JSON of a plan: a key missing, unknown, or a value of another type.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise MessageError("a privacy plan must be JSON") from error
        mechanism = _checked(content, cls)["mechanism"]
        unit = mechanism.get("unit") if isinstance(mechanism, dict) else None
        if unit not in _MECHANISMS:
            raise MessageError(f"expected a unit of {sorted(_MECHANISMS)}, got {unit!r}")
        kind = _MECHANISMS[unit]
        values = {name: value for name, value in mechanism.items() if name != "unit"}
        return cls(**content | {"mechanism": kind(**_checked(values, kind))})

    @classmethod
    def from_config(cls, config: RunConfig) -> "PrivacyPlan":
        """The plan that `config` describes.

        Raises:
            ConfigurationError: delta is too large for the population.
        """
        privacy, size = config.privacy, config.population.size
        if privacy.unit == "client" and privacy.delta >= 1.0 / size:
            raise ConfigurationError(
                f"privacy.delta must be below 1/population = {1.0 / size:g} (at most a tenth of "
                f"it is advised), got {privacy.delta:g}"
            )
        return cls(
            rounds=config.rounds,
            mechanism=_mechanism(config),
            population=size,
            cohort_sample_rate=config.cohort.sample_rate,
            delta=privacy.delta,
            epsilon_budget=privacy.epsilon_budget,
        )


def _mechanism(config: RunConfig) -> Mechanism:
    privacy, training = config.privacy, config.training
    if privacy.unit == "record":
        return RecordPrivacy(
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            sample_rate=training.sample_rate,
            steps_per_round=training.steps,
            batch_size=training.batch_size,
        )
    if privacy.unit == "client":
        return ClientPrivacy(
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            sample_rate=config.cohort.sample_rate,
            population=config.population.size,
            cap=cohort_cap(config.population.size, config.cohort.sample_rate),
        )
    return NoPrivacy()


def _sampled(sample_rate: float, event: dp.DpEvent) -> dp.DpEvent:
    return event if sample_rate == 1.0 else dp.PoissonSampledDpEvent(sample_rate, event)


def _checked(content: Any, kind: type[Any]) -> dict[str, Any]:
    """`content` if it has exactly the fields of `kind`, each number of the right type."""
    expected = {spec.name: spec.type for spec in fields(kind)}
    if not isinstance(content, dict) or content.keys() != expected.keys():
        got = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise MessageError(f"a privacy plan needs the keys {sorted(expected)}, got {got}")
    for name, value in content.items():
        if expected[name] in (int, float) and type(value) is not expected[name]:
            raise MessageError(f"{name} must be of type {expected[name]}, got {value!r}")
    return content
