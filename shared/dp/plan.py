"""The run's promise, fixed before the first round.

The plan is canonical JSON with a digest; every instruction to a client carries both.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from dp_accounting import dp_event as dp

from shared.config import RunConfig
from shared.domains import check_domains, fraction, positive, within
from shared.dp.chosen_aggregation import aggregation_of
from shared.dp.chosen_mechanism import cohort_rate_of, mechanism_of
from shared.dp.mechanisms import (
    CLIENT_LEVEL,
    MECHANISMS,
    ClientPrivacy,
    CorrelatedPrivacy,
    Mechanism,
    NoPrivacy,
    RecordPrivacy,
    noise_event,
)
from shared.dp.queries import SumQuery
from shared.dp.sampling import cohort_cap
from shared.dp.update_plan import UpdatePlan, update_plan_of
from shared.errors import ConfigurationError, MessageError
from shared.secagg.plan import AggregationPlan

_PARTS: dict[str, type[Any]] = {
    "evaluation": SumQuery,
    "statistics": SumQuery,
    "aggregation": AggregationPlan,
    "update": UpdatePlan,
}
EVALUATION_WIDTH = 3  # loss, accuracy, and one for each unit


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
        evaluation: What sites tell of the model's quality on their own data; None: nothing.
        statistics: What they tell of their inputs before the first round; None: nothing.
        aggregation: How updates are summed under masks; None: they are not.
        update: What of its training a client sends and keeps; None: the movement of the model.
    """

    rounds: int = field(metadata=positive())
    mechanism: Mechanism
    population: int = field(metadata=positive())
    cohort_sample_rate: float = field(metadata=fraction())
    delta: float = field(metadata=within(0.0, 0.5, open_left=True))
    epsilon_budget: float = field(metadata=positive())
    evaluation: SumQuery | None = None
    statistics: SumQuery | None = None
    aggregation: AggregationPlan | None = None
    update: UpdatePlan | None = None

    def __post_init__(self) -> None:
        """Refuse a plan whose event is not of the sampling that it describes.

        Raises:
            ConfigurationError: that, a number outside its domain, or a delta too large for the
                population.
        """
        check_domains(type(self), {s.name: getattr(self, s.name) for s in fields(self)}, "")
        if self.queries and isinstance(self.mechanism, NoPrivacy):
            raise ConfigurationError(
                "private evaluation and statistics need a unit of privacy, got privacy.unit = none"
            )
        self._check_aggregation()
        if not isinstance(self.mechanism, CLIENT_LEVEL):
            return
        described = (self.population, self.cohort_sample_rate)
        accounted = (self.mechanism.population, _rate_of(self.mechanism))
        if described != accounted:
            # Guarantee: cohorts are drawn by the plan, and accounted by its mechanism.
            raise ConfigurationError(
                f"the mechanism must have the plan's population and rate {described}, "
                f"got {accounted}"
            )
        if isinstance(self.mechanism, CorrelatedPrivacy) and self.mechanism.rounds != self.rounds:
            # Guarantee: the sensitivity is that of all rounds.
            raise ConfigurationError(
                f"the mechanism must have the plan's {self.rounds} rounds, got "
                f"{self.mechanism.rounds}"
            )
        if self.delta >= 1.0 / self.population:
            raise ConfigurationError(
                f"privacy.delta must be below 1/population = {1.0 / self.population:g} (at most "
                f"a tenth of it is advised), got {self.delta:g}"
            )

    def _check_aggregation(self) -> None:
        told = isinstance(self.mechanism, ClientPrivacy) and self.mechanism.cohort_is_told
        secure = self.aggregation is not None
        if (self.distributed and not secure) or (
            isinstance(self.mechanism, CLIENT_LEVEL) and told != secure
        ):
            # Guarantee: a share of noise hides nobody but in a sum; and masks name the cohort.
            raise ConfigurationError("the mechanism and secure aggregation do not go together")

    @property
    def distributed(self) -> bool:
        """Whether each client adds a share of the noise of the sum."""
        mechanism = self.mechanism
        return isinstance(mechanism, RecordPrivacy | ClientPrivacy) and mechanism.distributed

    @property
    def clipping_norm(self) -> float:
        """C, of the first round where it is adaptive; 0 where nothing is clipped."""
        return 0.0 if isinstance(self.mechanism, NoPrivacy) else self.mechanism.clipping_norm

    @property
    def adaptive(self) -> bool:
        """Whether the clip follows the updates' norms."""
        return isinstance(self.mechanism, ClientPrivacy) and self.mechanism.adaptive

    @property
    def queries(self) -> dict[str, SumQuery]:
        """What is asked besides training, by its kind."""
        asked = {"evaluate": self.evaluation, "statistics": self.statistics}
        return {kind: query for kind, query in asked.items() if query is not None}

    def query_event(self, query: SumQuery) -> dp.DpEvent:
        """What one unit is exposed to by one answer.

        Client level with Poisson cohorts: a fresh draw of the same law. Otherwise all are asked.
        """
        if isinstance(self.mechanism, ClientPrivacy):
            # An answer has the noise of its own query alone; no clip follows from it.
            asked = replace(
                self.mechanism,
                noise_multiplier=query.noise_multiplier,
                count_noise_multiplier=0.0,
            )
            return asked.round_event()
        return noise_event(query.noise_multiplier, distributed=self.distributed)

    def events(self, rounds: int | None = None) -> dict[str, tuple[dp.DpEvent, int]]:
        """By kind of access: what a unit is exposed to each time, and how often at most.

        Args:
            rounds: Of another number of rounds; None: of the plan's.
        """
        rounds = self.rounds if rounds is None else rounds
        once = isinstance(self.mechanism, CorrelatedPrivacy)
        found = {"train": (self.mechanism.round_event(), 1 if once else rounds)}
        for kind, query in self.queries.items():
            found[kind] = (self.query_event(query), query.times(rounds))
        return found

    def charge_event(self, kind: str, round_number: int, attempt: int = 1) -> dp.DpEvent | None:
        """What an exchange of this kind in this round is charged; None: the plan has no such kind.

        Correlated noise is one mechanism over all rounds: the first is charged everything, a
        repeated round what one row more tells (docs/adr/0010).
        """
        if kind == "train" and isinstance(self.mechanism, CorrelatedPrivacy):
            if attempt > 1:
                return self.mechanism.repeat_event(round_number)
            if round_number > 1:
                return dp.NoOpDpEvent()
        event, _ = self.events().get(kind, (None, 0))
        return event

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
        return _text(self)

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
        if isinstance(content, dict):
            content = {"update": None, **content}
        mechanism = _checked(content, cls)["mechanism"]
        tag = mechanism.get("kind") if isinstance(mechanism, dict) else None
        if not isinstance(tag, str) or tag not in MECHANISMS:
            raise MessageError(f"expected a mechanism of {sorted(MECHANISMS)}, got {tag!r}")
        kind = MECHANISMS[tag]
        values = _checked({name: mechanism[name] for name in mechanism if name != "kind"}, kind)
        parts = {
            name: None if content[name] is None else (part, _checked(content[name], part))
            for name, part in _PARTS.items()
        }
        try:
            built = {name: found and found[0](**found[1]) for name, found in parts.items()}
            return cls(**content | built | {"mechanism": kind(**values)})
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
            mechanism=mechanism_of(config),
            population=config.population.size,
            cohort_sample_rate=cohort_rate_of(config),
            delta=config.privacy.delta,
            epsilon_budget=config.privacy.epsilon_budget,
            evaluation=_evaluation(config),
            statistics=_statistics(config),
            aggregation=aggregation_of(config),
            update=update_plan_of(config),
        )


@lru_cache(maxsize=4)  # of one plan it is asked for several times a round
def _text(plan: PrivacyPlan) -> str:
    content = asdict(plan) | {"mechanism": {"kind": plan.mechanism.kind, **asdict(plan.mechanism)}}
    if plan.update is None:
        del content["update"]
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _rate_of(mechanism: ClientPrivacy | CorrelatedPrivacy) -> float:
    if isinstance(mechanism, CorrelatedPrivacy):
        return 1.0 / mechanism.min_separation
    return mechanism.sample_rate


def _evaluation(config: RunConfig) -> SumQuery | None:
    evaluation = config.evaluation
    if not evaluation.private_every:
        return None
    return SumQuery(
        noise_multiplier=evaluation.noise_multiplier,
        width=EVALUATION_WIDTH,
        every=evaluation.private_every,
    )


def _statistics(config: RunConfig) -> SumQuery | None:
    statistics = config.statistics
    if not statistics.private:
        return None
    return SumQuery(
        noise_multiplier=statistics.noise_multiplier, width=2 * statistics.channels + 1, every=0
    )


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
