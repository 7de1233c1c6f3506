"""From a run's configuration to its plan of secure aggregation."""

import math

from shared.config import RunConfig
from shared.errors import ConfigurationError
from shared.secagg.parameters import parameters_for
from shared.secagg.plan import AggregationPlan

_UNBOUNDED_UPDATE = 100.0  # of an update without privacy, which no clip bounds
_OVERSHOOT = 2.0  # a batch, or a step of noise, may be larger than expected


def aggregation_of(config: RunConfig) -> AggregationPlan | None:
    """What `secure_aggregation`, `privacy.noise` and `aggregation` ask for; None: none of it.

    Raises:
        ConfigurationError: noise cannot be shared in such a training, or the population is too
            small for the fractions, or what of it must be there at the start.
    """
    if not is_secure(config):
        return None
    wanted, population = config.aggregation, config.population.size
    # Whether any cohort could be summed; a smaller one is refused when it is drawn.
    helpers = len(wanted.helpers.split(",")) if wanted.helpers else 0
    fractions = (wanted.corrupt_fraction, wanted.dropped_fraction)
    parameters_for(population, population, *fractions, helpers)
    present = config.clients_at_start
    try:
        parameters_for(present, population, *fractions, helpers)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"cohort.present_at_start = {config.cohort.present_at_start!r} lets a run begin with "
            f"{present} of {population} clients, of whom no sum can be formed: {error}"
        ) from error
    _check_supported(config)
    signal, own = _bounds(config)
    return AggregationPlan(
        corrupt_fraction=wanted.corrupt_fraction,
        dropped_fraction=wanted.dropped_fraction,
        bits=wanted.bits,
        signal_bound=wanted.update_bound or signal,
        coordinate_noise=own,
        unit_bound=_unit_bound(config) if is_distributed(config) else 0.0,
        family=wanted.noise_family,
        helpers=wanted.helpers,
    )


def is_distributed(config: RunConfig) -> bool:
    """Whether all clients share in the noise of their sum."""
    return config.privacy.noise == "distributed"


def is_secure(config: RunConfig) -> bool:
    """Whether the server sees sums alone; shared noise needs it.

    Raises:
        ConfigurationError: shared noise without it.
    """
    if is_distributed(config) and config.secure_aggregation == "off":
        # Guarantee: one client's share of the noise hides nothing.
        raise ConfigurationError(
            "privacy.noise = 'distributed' needs secure_aggregation, got secure_aggregation = 'off'"
        )
    return is_distributed(config) or config.secure_aggregation == "on"


def _check_supported(config: RunConfig) -> None:
    privacy, training = config.privacy, config.training
    if (privacy.clipping, privacy.correlation) != ("fixed", "none"):
        raise ConfigurationError(
            "secure aggregation needs privacy.clipping = 'fixed' and privacy.correlation = 'none', "
            f"got {privacy.clipping!r} and {privacy.correlation!r}"
        )
    if config.aggregation.helpers and config.cohort.sample_rate != 1.0:
        raise ConfigurationError(
            "aggregation.helpers needs cohort.sample_rate = 1.0: helpers take part in every round, "
            f"got {config.cohort.sample_rate!r}"
        )
    if not is_distributed(config):
        return
    if privacy.unit == "none":
        raise ConfigurationError(
            "privacy.noise = 'distributed' needs a unit of privacy, got privacy.unit = 'none'"
        )
    if privacy.unit == "record" and (training.steps, training.optimizer) != (1, "sgd"):
        # Guarantee: a second step would be taken on a gradient that nobody's noise hides yet.
        raise ConfigurationError(
            "noise shared at record level needs training.steps = 1 and training.optimizer = "
            f"'sgd', got {training.steps} and {training.optimizer!r}"
        )


def _unit_bound(config: RunConfig) -> float:
    privacy, training = config.privacy, config.training
    if privacy.unit == "client":
        return privacy.clipping_norm
    # One record's clipped gradient, as the step turns it into an update.
    return privacy.clipping_norm * training.learning_rate / training.batch_size


def _bounds(config: RunConfig) -> tuple[float, float]:
    """(bound on an update without its noise, own noise in each of its numbers)."""
    privacy, training = config.privacy, config.training
    if privacy.unit == "client":
        return privacy.clipping_norm, 0.0
    if privacy.unit == "none":
        return _UNBOUNDED_UPDATE, 0.0
    # Momentum makes each step's gradient count up to 1/(1-m) times.
    reach = training.learning_rate / (1.0 - training.momentum)
    if training.optimizer == "adam":
        # Each step moves each number by about the rate, whatever signal or noise there is.
        return 1.0, _OVERSHOOT * reach * training.steps
    signal = reach * training.steps * privacy.clipping_norm
    if is_distributed(config):
        return signal, 0.0
    noise = privacy.noise_multiplier * privacy.clipping_norm / training.batch_size
    return _OVERSHOOT * signal, reach * math.sqrt(training.steps) * noise
