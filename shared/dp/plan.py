"""The run's promise, fixed before the first round.

The plan is canonical JSON with a digest; every instruction to a client carries both.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from shared.config import RunConfig
from shared.domains import check_domains, fraction, positive, within
from shared.dp.mechanisms import (
    MECHANISMS,
    ClientPrivacy,
    Mechanism,
    NoPrivacy,
    RecordPrivacy,
)
from shared.dp.sampling import cohort_cap
from shared.errors import ConfigurationError, MessageError


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

    rounds: int = field(metadata=positive())
    mechanism: Mechanism
    population: int = field(metadata=positive())
    cohort_sample_rate: float = field(metadata=fraction())
    delta: float = field(metadata=within(0.0, 0.5, open_left=True))
    epsilon_budget: float = field(metadata=positive())

    def __post_init__(self) -> None:
        """Refuse a plan whose event is not of the sampling that it describes.

        Raises:
            ConfigurationError: that, a number outside its domain, or a delta too large for the
                population.
        """
        check_domains(type(self), {s.name: getattr(self, s.name) for s in fields(self)}, "")
        if not isinstance(self.mechanism, ClientPrivacy):
            return
        described = (self.population, self.cohort_sample_rate)
        accounted = (self.mechanism.population, self.mechanism.sample_rate)
        if described != accounted:
            # Guarantee: cohorts are drawn by the plan, and accounted by its mechanism.
            raise ConfigurationError(
                f"the mechanism must have the plan's population and rate {described}, "
                f"got {accounted}"
            )
        if self.delta >= 1.0 / self.population:
            raise ConfigurationError(
                f"privacy.delta must be below 1/population = {1.0 / self.population:g} (at most "
                f"a tenth of it is advised), got {self.delta:g}"
            )

    @property
    def denominator(self) -> float:
        """Expected cohort q·N, which divides the sum of updates whoever answers."""
        return self.cohort_sample_rate * self.population

    @property
    def cap(self) -> int:
        """Largest cohort."""
        if isinstance(self.mechanism, ClientPrivacy):
            # Guarantee: cohorts are cut where the accounted event says.
            return self.mechanism.cap
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
            MessageError: not JSON of a plan: a key missing, unknown, or a value of another type or
                outside its domain.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise MessageError("a privacy plan must be JSON") from error
        mechanism = _checked(content, cls)["mechanism"]
        unit = mechanism.get("unit") if isinstance(mechanism, dict) else None
        if not isinstance(unit, str) or unit not in MECHANISMS:
            raise MessageError(f"expected a unit of {sorted(MECHANISMS)}, got {unit!r}")
        kind = MECHANISMS[unit]
        values = _checked({name: mechanism[name] for name in mechanism if name != "unit"}, kind)
        try:
            return cls(**content | {"mechanism": kind(**values)})
        except (ConfigurationError, OverflowError) as error:
            raise MessageError(f"a privacy plan cannot be of these values: {error}") from error

    @classmethod
    def from_config(cls, config: RunConfig) -> "PrivacyPlan":
        """The plan that `config` describes.

        Raises:
            ConfigurationError: delta is too large for the population.
        """
        return cls(
            rounds=config.rounds,
            mechanism=_mechanism(config),
            population=config.population.size,
            cohort_sample_rate=config.cohort.sample_rate,
            delta=config.privacy.delta,
            epsilon_budget=config.privacy.epsilon_budget,
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


def _checked(content: Any, kind: type[Any]) -> dict[str, Any]:
    """`content` if it has exactly the fields of `kind`, each number of the right type."""
    expected = {spec.name: spec.type for spec in fields(kind)}
    if not isinstance(content, dict) or content.keys() != expected.keys():
        got = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise MessageError(f"a privacy plan needs the keys {sorted(expected)}, got {got}")
    for name, value in content.items():
        for number in (int, float):
            if expected[name] is number and type(value) is not number:
                raise MessageError(f"{name} must be of type {number.__name__}, got {value!r}")
    return content
