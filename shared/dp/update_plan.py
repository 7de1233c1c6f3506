"""What an update is made of, where it is more or less than the movement of the whole model.

Part of the plan: it says what leaves a client, and that clients keep something between rounds.

Clients that keep something. In a round a client then sends what depends on whether it was drawn
before. That costs nothing. Fix the draws of all others over the whole run: they depend on nobody's
data. What a round releases is then, given everything seen so far, a mixture over this client's own
earlier draws of mechanisms each of which is bounded by the plan's event; a divergence of that kind
is jointly convex, so the mixture is bounded by it, and so, at the end, is the mixture over the
others' draws. A cap on the cohort would tie the draw of one client to the others': so these runs
have none.

Source: Zhu, Dong & Wang 2022, theorem 10 (arXiv:2106.08567), for composition of dominating pairs.
"""

from dataclasses import asdict, dataclass, field

from shared.config import RunConfig
from shared.domains import check_domains, names_or_none, one_of, within
from shared.dp.chosen_aggregation import is_distributed, is_secure
from shared.errors import ConfigurationError

_FEDAVG = "fedavg"
NONE, QUANTISED, TOP_K = "none", "quantised", "top_k"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePlan:
    """What of its training a client sends, and what it keeps.

    Attributes:
        local_layers: Layers that never leave a client, a,b,c; or empty.
        algorithm: fedavg; or scaffold: the movement of a control variate is sent beside that of
            the parameters, in one vector under one clip.
        compression: Of what is sent: none, quantised or top_k (shared/compression.py).
        kept_share: Of the numbers of an update, with top_k; else 0.
    """

    local_layers: str = field(metadata=names_or_none(1))
    algorithm: str = field(metadata=one_of(_FEDAVG, "scaffold"))
    compression: str = field(metadata=one_of(NONE, QUANTISED, TOP_K))
    kept_share: float = field(metadata=within(0.0, 0.5))

    def __post_init__(self) -> None:
        """Refuse what is outside its domain."""
        check_domains(type(self), asdict(self), "update.")

    @property
    def controlled(self) -> bool:
        """Whether there are control variates: vectors are twice as long as the parameters."""
        return self.algorithm != _FEDAVG

    @property
    def compressed(self) -> bool:
        """Whether what is sent is packed."""
        return self.compression != NONE


def update_plan_of(config: RunConfig) -> UpdatePlan | None:
    """What `config` asks for; None: the movement of the whole model, and nothing is kept.

    Raises:
        ConfigurationError: it does not go with the rest of the configuration.
    """
    training = config.training
    found = UpdatePlan(
        local_layers=training.local_layers,
        algorithm=training.algorithm,
        compression=training.compression,
        kept_share=training.kept_share if training.compression == TOP_K else 0.0,
    )
    if not (found.local_layers or found.controlled or found.compressed):
        return None
    if found.compressed:
        _check_compression(config)
    if config.privacy.unit == "record" and is_distributed(config):
        # Guarantee: the step that a client would make by itself has only its share of the noise;
        # a local layer or a control variate would carry records past the noise of the sum.
        raise ConfigurationError(
            "training.local_layers and training.algorithm = 'scaffold' need privacy.noise = "
            "'whole' at record level, got 'distributed'"
        )
    if found.controlled:
        _check_scaffold(config)
    return found


def _check_compression(config: RunConfig) -> None:
    if is_secure(config):
        raise ConfigurationError(
            "training.compression needs secure_aggregation = 'off': under masks updates are "
            "quantised already (aggregation.bits), got it on"
        )
    server = config.server
    if config.privacy.clipping == "adaptive" or server.aggregation != "mean" or server.norm_bound:
        raise ConfigurationError(
            "training.compression needs privacy.clipping = 'fixed', server.aggregation = 'mean' "
            "and no server.norm_bound"
        )


def _check_scaffold(config: RunConfig) -> None:
    training = config.training
    plain = training.optimizer == "sgd" and not training.momentum and not training.proximal_term
    if not (plain and training.steps):
        raise ConfigurationError(
            "training.algorithm = 'scaffold' needs training.steps > 0 of plain sgd (no momentum, "
            f"no proximal term), got {training.steps} of {training.optimizer}"
        )
    if config.server.aggregation != "mean":
        raise ConfigurationError(
            "training.algorithm = 'scaffold' needs server.aggregation = 'mean', got "
            f"{config.server.aggregation!r}"
        )
