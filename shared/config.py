"""The run's frozen configuration, and the only reader of Flower's raw run config.

Two groups by effect: what enters the privacy guarantee (`training`, `privacy`, `cohort`,
`population.size`, `rounds`) and what cannot change it (`server`, `runtime`, `output`). Every key
has one default, here; pyproject's `[tool.flwr.app.config]` repeats them for `flwr run`, and a test
compares the two. Unknown keys are refused; nothing is converted but int -> float.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Self, get_args, get_type_hints

from shared.config_sections import (
    AggregationConfig,
    CohortConfig,
    DataConfig,
    EvaluationConfig,
    PopulationConfig,
    PrivacyConfig,
    ServerConfig,
    StatisticsConfig,
    TrainingConfig,
)
from shared.domains import check_domains, one_of, positive
from shared.errors import ConfigurationError
from shared.runtime_sections import AuditConfig, OutputConfig, RuntimeConfig
from shared.text_section import TextConfig

Scalar = str | int | float | bool
OS_RANDOMNESS = "os"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything one run is told. Build it by `from_run_config`."""

    task: str = "fashion_mnist"
    model: str = ""
    rounds: int = field(default=60, metadata=positive())
    seed: str | int = OS_RANDOMNESS
    secure_aggregation: str = field(default="auto", metadata=one_of("auto", "on", "off"))
    data: DataConfig = field(default_factory=DataConfig)
    population: PopulationConfig = field(default_factory=PopulationConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    text: TextConfig = field(default_factory=TextConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        """Refuse what no single key can be blamed for."""
        if self.seed != OS_RANDOMNESS and (isinstance(self.seed, str | bool) or self.seed < 0):
            raise ConfigurationError(
                f"seed must be {OS_RANDOMNESS!r} or a whole number >= 0, got {self.seed!r}"
            )
        if self.privacy.unit == "record" and self.training.steps == 0:
            raise ConfigurationError(
                "privacy.unit = 'record' needs training.steps > 0: the number of noisy steps is "
                "public and must not depend on how many records a site holds"
            )
        if self.privacy.unit == "record" and self.runtime.autocast:
            # Guarantee: a record's norm and what the clip leaves of it come from different
            # products; of half precision they would differ by more than a clip may be off.
            raise ConfigurationError(
                "runtime.autocast must be false with privacy.unit = 'record': clipping the "
                "gradient of a record needs full precision"
            )
        if self.privacy.unit != "record" and self.runtime.sharded:
            raise ConfigurationError(
                "runtime.sharded needs privacy.unit = 'record': plain training keeps all of the "
                f"model on each device, got {self.privacy.unit!r}"
            )
        if self.cohort.present_at_start < 1.0 and self.privacy.correlation != "none":
            # Guarantee: with one client more in it the rotation would ask others too soon again.
            raise ConfigurationError(
                "privacy.correlation asks clients in a rotation of all, and needs "
                f"cohort.present_at_start = 1, got {self.cohort.present_at_start!r}"
            )

    @property
    def clients_at_start(self) -> int:
        """How many clients must have enrolled for the run to begin."""
        exact = self.cohort.present_at_start * self.population.size
        # What is above a whole number by rounding alone asks for no client more.
        return max(1, math.ceil(exact - 1e-9))

    @property
    def seeded(self) -> bool:
        """Whether the run's randomness is derived from a seed: for simulation only."""
        return self.seed != OS_RANDOMNESS

    @classmethod
    def from_run_config(cls, raw: Mapping[str, Any]) -> Self:
        """The configuration that flat, dotted `raw` describes, the rest at its default.

        Raises:
            ConfigurationError: a key is unknown (the nearest is suggested), a type is wrong, or a
                value is outside its domain.
        """
        known = defaults()
        for key in raw:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigurationError(f"unknown configuration key {key!r}{hint}")
        config: Self = _build(cls, raw, "")
        return config

    def flat(self) -> dict[str, Scalar]:
        """Every key, dotted, and its value; the inverse of `from_run_config`."""
        return _flatten(self, "")


def defaults() -> dict[str, Scalar]:
    """Every known key, dotted, and its default."""
    return RunConfig().flat()


def _flatten(section: Any, prefix: str) -> dict[str, Scalar]:
    flat: dict[str, Scalar] = {}
    for spec in fields(section):
        value = getattr(section, spec.name)
        if is_dataclass(value):
            flat |= _flatten(value, f"{prefix}{spec.name}.")
        else:
            flat[prefix + spec.name] = value
    return flat


def _build(section: type[Any], raw: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(section)
    arguments: dict[str, Any] = {}
    for spec in fields(section):
        key, kind = prefix + spec.name, hints[spec.name]
        if is_dataclass(kind):
            arguments[spec.name] = _build(kind, raw, key + ".")  # type: ignore[arg-type]
        elif key in raw:
            arguments[spec.name] = _typed(key, raw[key], kind)
    check_domains(section, arguments, prefix)
    return section(**arguments)


def _typed(key: str, value: Any, kind: Any) -> Any:
    kinds = get_args(kind) or (kind,)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        names = " or ".join(accepted.__name__ for accepted in kinds)
        raise ConfigurationError(f"{key} must be of type {names}, got {value!r}")
    return value
