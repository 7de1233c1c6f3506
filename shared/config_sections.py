"""The sections of a run's configuration; each key has one default and one domain, here."""

from dataclasses import dataclass, field

from shared.domains import (
    fraction,
    names_or_none,
    non_negative,
    one_of,
    positive,
    share_or_count,
    within,
)
from shared.errors import ConfigurationError


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
        minimum_survivors: Fraction of those asked that must answer, else the round is void.
        attempts: At a round; one that is void is tried again with fresh randomness, and charged
            again. After the last the run stops.
        present_at_start: Share of the population that must have enrolled for a run to begin; the
            others may join between rounds.
    """

    sample_rate: float = field(default=1.0, metadata=fraction())
    timeout_s: float = field(default=600.0, metadata=positive())
    minimum_survivors: float = field(default=0.5, metadata=within(0.0, 1.0))
    attempts: int = field(default=1, metadata=positive())
    present_at_start: float = field(default=1.0, metadata=fraction())


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
        local_layers: Layers that stay at each client, a,b,c, ascending; "" = all are shared.
        compression: Of what a client sends: none; quantised: 8 bits a number; top_k: the largest
            few, and what is left out is sent later.
        kept_share: Of the numbers, with top_k.
        algorithm: fedavg; or scaffold: control variates, which each client keeps, against drift.
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
    local_layers: str = field(default="", metadata=names_or_none(1))
    algorithm: str = field(default="fedavg", metadata=one_of("fedavg", "scaffold"))
    compression: str = field(default="none", metadata=one_of("none", "quantised", "top_k"))
    kept_share: float = field(default=0.1, metadata=within(0.0, 0.5, open_left=True))

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
        clipping: At client level, fixed, or adaptive: towards a quantile of the updates' norms.
        clipping_quantile: Share of updates that the adaptive clip leaves whole.
        clipping_learning_rate: Of the adaptive clip, geometric.
        count_noise_multiplier: Noise on the count of unclipped updates; 0 = q·N/20, at least z.
        noise: whole: added by one party, each site (record) or the server (client); distributed:
            each client adds a share of the noise of the sum (needs secure aggregation).
        correlation: At client level, none: fresh noise each round; tree or banded: correlated.
        bands: Of the banded matrix; at most min_separation.
        min_separation: Rounds between two of one client, which the client enforces.
        max_participations: Of one client in the run; 0 = as many as min_separation allows.
    """

    unit: str = field(default="record", metadata=one_of("record", "client", "none"))
    clipping_norm: float = field(default=0.5, metadata=positive())
    noise_multiplier: float = field(default=1.63, metadata=positive())
    delta: float = field(default=1e-5, metadata=within(0.0, 0.5, open_left=True))
    epsilon_budget: float = field(default=8.0, metadata=positive())
    clipping: str = field(default="fixed", metadata=one_of("fixed", "adaptive"))
    clipping_quantile: float = field(default=0.5, metadata=within(0.0, 1.0))
    clipping_learning_rate: float = field(default=0.2, metadata=positive())
    count_noise_multiplier: float = field(default=0.0, metadata=non_negative())
    noise: str = field(default="whole", metadata=one_of("whole", "distributed"))
    correlation: str = field(default="none", metadata=one_of("none", "tree", "banded"))
    bands: int = field(default=8, metadata=positive())
    min_separation: int = field(default=8, metadata=positive())
    max_participations: int = field(default=0, metadata=non_negative())

    def __post_init__(self) -> None:
        """Refuse client-level mechanisms at another level."""
        if self.unit != "client" and (self.clipping, self.correlation) != ("fixed", "none"):
            raise ConfigurationError(
                "privacy.clipping and privacy.correlation are for privacy.unit = 'client', got "
                f"{self.clipping!r} and {self.correlation!r} with {self.unit!r}"
            )
        if self.clipping == "adaptive" and self.correlation != "none":
            raise ConfigurationError(
                "correlated noise needs the same clip in every round, got privacy.clipping = "
                "'adaptive'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationConfig:
    """Secure aggregation, where it is on (`secure_aggregation`; auto: where noise is distributed).

    Attributes:
        corrupt_fraction: Share of the population that may work with the server.
        dropped_fraction: Share of a cohort that may be lost in a round.
        bits: Of each number that a client sends: 16, 20, 24 or 32; 0 = the fewest that cost little.
        update_bound: L2 bound of a client's update without its own noise; 0 = by the plan.
        noise_family: Of distributed noise.
        helpers: Names of fixed clients that undo the masks instead of a committee, a,b,c; all of
            them must answer, and one must be honest. Empty: a committee.
    """

    corrupt_fraction: float = field(default=0.1, metadata=within(0.0, 0.5, open_right=True))
    dropped_fraction: float = field(default=0.1, metadata=within(0.0, 0.5, open_right=True))
    bits: int = field(default=0, metadata=one_of(0, 16, 20, 24, 32))
    update_bound: float = field(default=0.0, metadata=non_negative())
    noise_family: str = field(
        default="discrete_gaussian", metadata=one_of("discrete_gaussian", "skellam")
    )
    helpers: str = field(default="", metadata=names_or_none(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What sites tell of the model's quality on their own data: noised sums, charged.

    Attributes:
        private_every: Rounds between two; 0 = never.
        noise_multiplier: Of the sum of (loss, accuracy, 1); its sensitivity is √3.
        loss_bound: A loss above it counts as it; public.
        holdout: Share of each site's records that is kept from training and evaluated on; 0 =
            evaluate on the training records. A record's side depends on the record alone.
    """

    private_every: int = field(default=0, metadata=non_negative())
    noise_multiplier: float = field(default=10.0, metadata=positive())
    loss_bound: float = field(default=5.0, metadata=positive())
    holdout: float = field(default=0.1, metadata=within(0.0, 1.0, open_right=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsConfig:
    """Mean and standard deviation of the inputs of all sites, found once, with noise.

    Attributes:
        private: Whether to ask for them and to normalise the inputs by them.
        noise_multiplier: Of the sum; its sensitivity is √(2 · channels + 1).
        channels: Size of the inputs' second axis, or 1 for one mean over everything.
        low: Public lower end of the inputs' range.
        high: Public upper end.
    """

    private: bool = False
    noise_multiplier: float = field(default=10.0, metadata=positive())
    channels: int = field(default=1, metadata=positive())
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not self.low < self.high:
            raise ConfigurationError(
                f"statistics.low must be below statistics.high, got {self.low!r} and {self.high!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How updates become a step on the global parameters (Reddi et al. 2021).

    Attributes:
        optimizer: Of the step; sgd with rate 1.0 and momentum 0.0 is FedAvg.
        aggregation: What combines updates; all but the mean are refused at client level, and where
            the server sees sums alone.
        byzantine: Clients that may send anything: a share of those asked, or from 1 on their
            number.
        norm_bound: L2 norm above which an update is refused; of `centred_clipping` and
            `norm_bound` the length to which they cut. 0 = none, or the median of the round.
        strikes: Rejections after which a client is asked no more; 0 = never.
    """

    optimizer: str = field(default="sgd", metadata=one_of("sgd", "adam", "yogi", "adagrad"))
    learning_rate: float = field(default=1.0, metadata=positive())
    momentum: float = field(default=0.5, metadata=within(0.0, 1.0, open_right=True))
    beta1: float = field(default=0.9, metadata=within(0.0, 1.0, open_right=True))
    beta2: float = field(default=0.99, metadata=within(0.0, 1.0, open_right=True))
    tau: float = field(default=1e-3, metadata=positive())
    aggregation: str = field(
        default="mean",
        metadata=one_of(
            "mean", "median", "trimmed_mean", "krum", "multi_krum", "bulyan", "centred_clipping",
            "norm_bound",
        ),
    )  # fmt: skip
    byzantine: float = field(default=0.2, metadata=share_or_count())
    norm_bound: float = field(default=0.0, metadata=non_negative())
    strikes: int = field(default=3, metadata=non_negative())
