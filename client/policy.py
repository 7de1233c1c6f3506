"""What a site's owner allows of a run, before the ledger is asked: every rule has a name.

Decided from public numbers alone: the plan, the task's name, the size of a cohort, the time of day.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domains import check_domains, non_negative, positive
from shared.errors import ConfigurationError, PrivacyError

if TYPE_CHECKING:
    from shared.dp.plan import PrivacyPlan

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Rule(StrEnum):
    """A rule that was broken."""

    TASK = "task_not_allowed"
    UNIT = "unit_not_allowed"
    NOISE = "noise_too_small"
    CLIP = "clip_too_large"
    POPULATION = "population_too_small"
    COHORT = "cohort_too_small"
    EPSILON = "epsilon_too_large"
    DELTA = "delta_too_large"
    MASKS = "not_under_masks"
    SEEDED = "seeded_run"
    HOURS = "outside_hours"


class PolicyRefused(PrivacyError):  # noqa: N818 - what happened
    """The site's policy does not allow it; nothing was read or charged.

    Attributes:
        rules: All that were broken.
    """

    def __init__(self, rules: tuple[Rule, ...], text: str) -> None:
        super().__init__(f"{', '.join(rules)}: {text}")
        self.rules = rules


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePolicy:
    """The owner's rules; a default allows every run that protects somebody.

    Attributes:
        tasks: Names of the tasks that may be learnt; none named: any.
        units: Whose presence must be hidden: record, client; none allows runs without privacy.
        least_noise_multiplier: Of the updates and of each question.
        largest_clipping_norm: Of an update or a gradient; 0: any.
        smallest_population: Clients that are enrolled in the run.
        smallest_cohort: Clients that are asked in a round, as expected and, under masks, as named.
        most_epsilon: That one run may plan to spend; 0: what the ledger allows.
        most_delta: Of a run's claims; 0: any.
        secure_aggregation_only: The server must see sums alone.
        seeded_runs: Noise that the server can predict is allowed: for tests and simulation.
        hours: When the site answers, HH:MM-HH:MM of local time; empty: always.
    """

    tasks: tuple[str, ...] = ()
    units: tuple[str, ...] = ("record", "client")
    least_noise_multiplier: float = field(default=0.0, metadata=non_negative())
    largest_clipping_norm: float = field(default=0.0, metadata=non_negative())
    smallest_population: int = field(default=1, metadata=positive())
    smallest_cohort: int = field(default=1, metadata=positive())
    most_epsilon: float = field(default=0.0, metadata=non_negative())
    most_delta: float = field(default=0.0, metadata=non_negative())
    secure_aggregation_only: bool = False
    seeded_runs: bool = False
    hours: str = ""

    def __post_init__(self) -> None:
        """Refuse rules that mean nothing."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        check_domains(type(self), values, "policy.")
        if not self.units or not set(self.units) <= {"record", "client", "none"}:
            raise ConfigurationError(
                f"policy.units must be of record, client, none, got {list(self.units)}"
            )
        if self.hours and not _HOURS.fullmatch(self.hours):
            raise ConfigurationError(f"policy.hours must be HH:MM-HH:MM, got {self.hours!r}")

    def check_run(self, plan: "PrivacyPlan", task: str, *, seeded: bool) -> None:
        """Raise PolicyRefused, which names every rule that the run breaks."""
        broken = tuple(self._broken(plan, task, seeded=seeded))
        if broken:
            raise PolicyRefused(broken, f"the run of task {task!r} with plan {plan.digest()[:12]}")

    def check_round(self, clipping_norm: float, cohort_size: int | None) -> None:
        """Raise PolicyRefused for what one round says of itself.

        Args:
            clipping_norm: Of the round; 0: nothing is clipped.
            cohort_size: Where the round names its cohort.
        """
        broken = []
        if 0.0 < self.largest_clipping_norm < clipping_norm:
            broken.append(Rule.CLIP)
        if cohort_size is not None and cohort_size < self.smallest_cohort:
            broken.append(Rule.COHORT)
        if broken:
            raise PolicyRefused(
                tuple(broken), f"got a clip of {clipping_norm!r}, a cohort of {cohort_size}"
            )

    def check_hour(self, now: datetime) -> None:
        """Raise PolicyRefused outside the hours; a span may go over midnight."""
        if not self.hours:
            return
        first, last = (time.fromisoformat(end) for end in self.hours.split("-"))
        at = now.time()
        inside = first <= at < last if first <= last else (at >= first or at < last)
        if not inside:
            raise PolicyRefused((Rule.HOURS,), f"the site answers {self.hours}")

    def _broken(self, plan: "PrivacyPlan", task: str, *, seeded: bool) -> Iterator[Rule]:
        # Slow, and a site's settings are read by many a command that looks at no plan.
        from shared.dp.mechanisms import NoPrivacy  # noqa: PLC0415

        mechanism = plan.mechanism
        private = not isinstance(mechanism, NoPrivacy)
        multipliers = [query.noise_multiplier for query in plan.queries.values()]
        if not isinstance(mechanism, NoPrivacy):
            multipliers.append(mechanism.noise_multiplier)
        clip = plan.clipping_norm if private else float("inf")
        for holds, rule in (
            (not self.tasks or task in self.tasks, Rule.TASK),
            (mechanism.unit in self.units, Rule.UNIT),
            (min(multipliers, default=0.0) >= self.least_noise_multiplier, Rule.NOISE),
            (not self.largest_clipping_norm or clip <= self.largest_clipping_norm, Rule.CLIP),
            (plan.population >= self.smallest_population, Rule.POPULATION),
            (plan.denominator >= self.smallest_cohort, Rule.COHORT),
            (not self.most_epsilon or plan.epsilon_budget <= self.most_epsilon, Rule.EPSILON),
            (not self.most_delta or plan.delta <= self.most_delta, Rule.DELTA),
            (plan.aggregation is not None or not self.secure_aggregation_only, Rule.MASKS),
            (self.seeded_runs or not seeded, Rule.SEEDED),
        ):
            if not holds:
                yield rule
