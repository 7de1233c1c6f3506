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

from shared.domains import check_domains, fraction, non_negative, one_of, positive, within
from shared.errors import ConfigurationError

Scalar = str | int | float | bool
OS_RANDOMNESS = "os"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where data lie. `dir`: "" searches the usual places; `name`: of a hub's data set."""

    dir: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationConfig:
    """All clients, and how a demonstration shares one data set out among them.

    Attributes:
        size: Number N of clients; public.
        partition: Who holds what: iid, dirichlet, shards, quantity or natural.
        examples_per_client: Public nominal size; the pool is N times this; 0 = the whole pool.
        alpha: Concentration of dirichlet (labels) and quantity (sizes).
        shards_per_client: Number of label shards each client gets.
        column: Column of the natural partition.
        partition_seed: Seed of the split; not of the training.
    """

    size: int = field(default=20, metadata=positive())
    partition: str = field(
        default="iid", metadata=one_of("iid", "dirichlet", "shards", "quantity", "natural")
    )
    examples_per_client: int = field(default=500, metadata=non_negative())
    alpha: float = field(default=0.5, metadata=positive())
    shards_per_client: int = field(default=2, metadata=positive())
    column: str = ""
    partition_seed: int = field(default=0, metadata=non_negative())


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortConfig:
    """Who is asked in a round.

    Attributes:
        sample_rate: Probability q that a client is asked; 1 asks all. Truncated Poisson sampling.
        timeout_s: Seconds to wait for replies; whoever is later is lost for the round.
        minimum_survivors: Fraction of those asked that must answer, else the run stops.
    """

    sample_rate: float = field(default=1.0, metadata=fraction())
    timeout_s: float = field(default=600.0, metadata=positive())
    minimum_survivors: float = field(default=0.5, metadata=within(0.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Local training.

    Attributes:
        steps: Optimizer steps a round; public and fixed. 0 = by `epochs` (not at record level).
        epochs: Passes over the site's data a round, where `steps` is 0.
        batch_size: Record level: the public constant that divides the noisy sum of gradients.
            Otherwise: examples in a batch.
        sample_rate: Record level: probability q that a record takes part in a step (Poisson).
        proximal_term: FedProx's mu; 0 = FedAvg.
        max_physical_batch: Examples on the device at once; does not change the result.
    """

    steps: int = field(default=1, metadata=non_negative())
    epochs: int = field(default=0, metadata=non_negative())
    batch_size: int = field(default=150, metadata=positive())
    sample_rate: float = field(default=0.3, metadata=fraction())
    optimizer: str = field(default="sgd", metadata=one_of("sgd", "adam"))
    learning_rate: float = field(default=6.0, metadata=positive())
    momentum: float = field(default=0.0, metadata=within(0.0, 1.0, open_right=True))
    proximal_term: float = field(default=0.0, metadata=non_negative())
    max_physical_batch: int = field(default=512, metadata=positive())

    def __post_init__(self) -> None:
        """Refuse a local training of no, or of two, lengths."""
        if (self.steps > 0) == (self.epochs > 0):
            raise ConfigurationError(
                "expected exactly one of training.steps and training.epochs above 0, "
                f"got {self.steps} and {self.epochs}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyConfig:
    """What is promised.

    Attributes:
        unit: record (each site adds its own noise: DP-SGD), client (the server adds noise to the
            sum of clipped updates), or none (not private).
        clipping_norm: L2 bound C on what one unit contributes to a step or a round.
        noise_multiplier: Standard deviation of the noise divided by C.
        delta: Of every claim.
        epsilon_budget: The run is refused where its plan would exceed it.
    """

    unit: str = field(default="record", metadata=one_of("record", "client", "none"))
    clipping_norm: float = field(default=0.5, metadata=positive())
    noise_multiplier: float = field(default=1.63, metadata=positive())
    delta: float = field(default=1e-5, metadata=within(0.0, 0.5, open_left=True))
    epsilon_budget: float = field(default=8.0, metadata=positive())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The step on the global parameters (Reddi et al. 2021); sgd, 1.0, 0.0 is FedAvg."""

    optimizer: str = field(default="sgd", metadata=one_of("sgd", "adam", "yogi", "adagrad"))
    learning_rate: float = field(default=1.0, metadata=positive())
    momentum: float = field(default=0.5, metadata=within(0.0, 1.0, open_right=True))
    beta1: float = field(default=0.9, metadata=within(0.0, 1.0, open_right=True))
    beta2: float = field(default=0.99, metadata=within(0.0, 1.0, open_right=True))
    tau: float = field(default=1e-3, metadata=positive())


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """What cannot change the guarantee.

    Attributes:
        device: auto, cpu, cuda, cuda:n or mps.
        torch_threads: Threads of one training; results may differ in the last bits between values.
        gpu_memory_fraction: Share of the GPU one process may take, where several share it.
        evaluate_every: Rounds between two evaluations on public data; the last is always evaluated.
    """

    device: str = "auto"
    torch_threads: int = field(default=1, metadata=positive())
    gpu_memory_fraction: float = field(default=1.0, metadata=fraction())
    evaluate_every: int = field(default=1, metadata=positive())


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """What a simulation measures of its own privacy; no effect in deployment.

    `canaries`: how many canaries are put into the run; -1 by the rule of docs/privacy.md, 0 none.
    """

    canaries: int = field(default=-1, metadata=within(-1, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """Where results go. `run_id`: "" makes one; `resume`: continue the run folder of that id.

    `origins` is a JSON object key -> where its value came from, written by the command line.
    """

    dir: str = "runs"
    run_id: str = ""
    resume: bool = False
    tensorboard: bool = True
    origins: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything one run is told. Build it by `from_run_config`."""

    task: str = "fashion_mnist"
    model: str = ""
    rounds: int = field(default=60, metadata=positive())
    seed: str | int = OS_RANDOMNESS
    data: DataConfig = field(default_factory=DataConfig)
    population: PopulationConfig = field(default_factory=PopulationConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
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
