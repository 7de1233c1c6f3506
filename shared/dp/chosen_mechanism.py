"""From a run's configuration to the mechanism that protects its unit."""

from shared.config import RunConfig
from shared.dp.chosen_aggregation import is_distributed, is_secure
from shared.dp.mechanisms import (
    ClientPrivacy,
    CorrelatedPrivacy,
    Mechanism,
    NoPrivacy,
    RecordPrivacy,
)
from shared.dp.sampling import cohort_cap
from shared.dp.update_plan import update_plan_of
from shared.errors import ConfigurationError


def mechanism_of(config: RunConfig) -> Mechanism:
    """The mechanism of the unit, clipping and correlation that `config` asks for.

    Raises:
        ConfigurationError: these do not go together.
    """
    privacy, training = config.privacy, config.training
    if privacy.unit == "record":
        return RecordPrivacy(
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            sample_rate=training.sample_rate,
            steps_per_round=training.steps,
            batch_size=training.batch_size,
            distributed=is_distributed(config),
        )
    if privacy.unit == "client" and privacy.correlation != "none":
        return _correlated(config)
    if privacy.unit == "client":
        rate, population = config.cohort.sample_rate, config.population.size
        adaptive = privacy.clipping == "adaptive"
        # Guarantee: clients that keep something between rounds are drawn independently of each
        # other (shared/dp/update_plan.py); a cap would tie them.
        cap = cohort_cap(population, rate) if update_plan_of(config) is None else population
        # Public: of the expected cohort, not of who was drawn. At z it leaves the updates 1.15·z.
        count_noise = privacy.count_noise_multiplier or max(
            rate * population / 20.0, privacy.noise_multiplier
        )
        return ClientPrivacy(
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            sample_rate=rate,
            population=population,
            cap=cap,
            count_noise_multiplier=count_noise if adaptive else 0.0,
            clipping_quantile=privacy.clipping_quantile,
            clipping_learning_rate=privacy.clipping_learning_rate,
            cohort_is_told=is_secure(config),
            distributed=is_distributed(config),
        )
    return NoPrivacy()


def _correlated(config: RunConfig) -> CorrelatedPrivacy:
    privacy, rounds = config.privacy, config.rounds
    if config.cohort.sample_rate != 1.0:
        raise ConfigurationError(
            "correlated noise asks each client once in privacy.min_separation rounds: leave "
            f"cohort.sample_rate at 1, got {config.cohort.sample_rate!r}"
        )
    return CorrelatedPrivacy(
        clipping_norm=privacy.clipping_norm,
        noise_multiplier=privacy.noise_multiplier,
        population=config.population.size,
        rounds=rounds,
        matrix=privacy.correlation,
        bands=privacy.bands,
        min_separation=privacy.min_separation,
        max_participations=privacy.max_participations or -(-rounds // privacy.min_separation),
    )


def cohort_rate_of(config: RunConfig) -> float:
    """Share of the population that is asked in a round, on average."""
    if config.privacy.unit == "client" and config.privacy.correlation != "none":
        return 1.0 / config.privacy.min_separation
    return config.cohort.sample_rate
