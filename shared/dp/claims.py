"""What holds against whom: one claim an observer, planned and spent.

Every claim states unit, adjacency, observer and delta beside its epsilon, and the epsilon that
remains without relying on secret sampling. Amplification by the sampling of clients is claimed at
client level only, against those who do not see who takes part, never against the server.
`shared/dp/observers.py` says who stands on which side of the noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dp_accounting import dp_event as dp

from shared.dp.accounting import LIVE_INTERVAL, Epsilon, claim_of, epsilon_of
from shared.dp.claim import Claim
from shared.dp.events import Charge
from shared.dp.exposure import Exposure, composed, exposures, planned_exposure, within_plan
from shared.dp.mechanisms import CLIENT_LEVEL, NoPrivacy
from shared.dp.observers import UNIT_DETAIL, is_protected, observers, rests_on, why_nothing
from shared.dp.plan import PrivacyPlan
from shared.dp.steps import merged, without_sampling
from shared.errors import BudgetExhausted

_COVERED = {
    "train": "training",
    "evaluate": "evaluation on the sites' data",
    "statistics": "statistics of the inputs",
}
_NOT_COVERED = (
    "hyper-parameter tuning",
    "other runs on the same data",
    "evaluation on public data",
)


def planned_claims(plan: PrivacyPlan) -> tuple[Claim, ...]:
    """What the run will have promised at its end if every client is asked in every round."""
    return _claims(plan, (planned_exposure(plan),))


def claims_so_far(plan: PrivacyPlan, charges: Sequence[Charge]) -> tuple[Claim, ...]:
    """What holds after `charges`, whether or not each of them was answered.

    Computed from the events that were charged. Record level: the worst of what any one client was
    charged. Client level: all charges, since whoever was not drawn might have been.
    """
    return _claims(plan, exposures(plan, charges))


def check_budget(plan: PrivacyPlan) -> tuple[Claim, ...]:
    """The planned claims, if each that the mechanism is there for is within the budget.

    Raises:
        BudgetExhausted: the plan would spend more than `plan.epsilon_budget`.
    """
    # Guarantee: an epsilon that cannot be bounded is infinite, and above every budget; only a plan
    # that promises nothing passes with it.
    worst = _claimed(plan, planned_exposure(plan))
    if worst > plan.epsilon_budget and not isinstance(plan.mechanism, NoPrivacy):
        raise BudgetExhausted(
            f"the plan must spend at most epsilon {_exactly(plan.epsilon_budget)} at delta "
            f"{plan.delta!r}, got {_exactly(worst)}; use more noise (privacy.noise_multiplier), "
            "fewer rounds or a lower sample rate, or raise privacy.epsilon_budget"
        )
    return planned_claims(plan)


class SpendingMeter:
    """Epsilon so far of the worst observer with a finite claim, fast enough for every round.

    Never below the report's number for the same charges, and never above the planned one while
    the charges are within the plan.
    """

    def __init__(self, plan: PrivacyPlan) -> None:
        self._plan = plan
        self._planned = _claimed(plan, planned_exposure(plan))

    def after(self, charges: Sequence[Charge]) -> float:
        """Epsilon after `charges`; infinite without privacy, 0 before the first charge."""
        if isinstance(self._plan.mechanism, NoPrivacy):
            return math.inf
        found = exposures(self._plan, charges)
        spent = max(_claimed(self._plan, e, interval=LIVE_INTERVAL) for e in found)
        return min(spent, self._planned) if within_plan(self._plan, found) else spent


def _epsilon(plan: PrivacyPlan, exposure: Exposure) -> Epsilon:
    return epsilon_of(composed(exposure), plan.delta, plan.mechanism.adjacency)


def _claimed(plan: PrivacyPlan, exposure: Exposure, *, interval: float | None = None) -> float:
    return claim_of(composed(exposure), plan.delta, plan.mechanism.adjacency, interval=interval)


def _claims(plan: PrivacyPlan, found: tuple[Exposure, ...]) -> tuple[Claim, ...]:
    worst = max(found, key=lambda exposure: _claimed(plan, exposure))
    numbers = _Numbers(
        spent=_epsilon(plan, worst),
        planned=_claimed(plan, planned_exposure(plan)),
        bare=max(_without_sampling(plan, exposure) for exposure in found),
    )
    return tuple(
        _claim(plan, f"c{number}", adversary, numbers)
        for number, adversary in enumerate(observers(plan), start=1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    spent: Epsilon
    planned: float
    bare: float


def _without_sampling(plan: PrivacyPlan, exposure: Exposure) -> float:
    bare = dp.ComposedDpEvent(
        [dp.SelfComposedDpEvent(*part) for part in without_sampling(merged(composed(exposure)))]
    )
    return claim_of(bare, plan.delta, plan.mechanism.adjacency)


def _claim(plan: PrivacyPlan, name: str, adversary: str, numbers: _Numbers) -> Claim:
    spent, protected = numbers.spent, is_protected(plan, adversary)
    unit = plan.mechanism.unit if plan.mechanism.unit != "none" else "record"
    epsilon = spent.epsilon if protected else math.inf
    bare = numbers.bare if protected else math.inf
    checks: dict[str, Any] = {}
    if protected:
        checks = {"pld": spent.pld, "agree": spent.agree, "interval": spent.interval}
    if spent.rdp is not None and protected:
        checks["rdp"] = spent.rdp
    return Claim(
        id=name,
        adversary=adversary,
        sees=observers(plan)[adversary],
        unit=unit,
        unit_detail=UNIT_DETAIL[plan.mechanism.unit],
        adjacency=plan.mechanism.adjacency.value,
        covers=_covers(plan),
        not_covered=_not_covered(plan),
        epsilon=epsilon,
        delta=plan.delta,
        delta_rationale=_delta_rationale(plan),
        planned_epsilon=numbers.planned if protected else math.inf,
        budget_epsilon=plan.epsilon_budget,
        method=spent.method,
        cross_check=checks,
        adaptive_valid="fixed_plan",
        no_amplification_epsilon=bare,
        statement=_statement(plan, adversary, epsilon, bare),
    )


def _delta_rationale(plan: PrivacyPlan) -> str:
    if isinstance(plan.mechanism, CLIENT_LEVEL):
        return f"below 1/population = {1.0 / plan.population:g}"
    return "set by the operator; should be below 1/(10 × records of the largest site)"


def _statement(plan: PrivacyPlan, adversary: str, epsilon: float, bare: float) -> str:
    mechanism, sees = plan.mechanism, observers(plan)[adversary]
    if math.isinf(epsilon):
        why = why_nothing(plan, adversary)
        return f"Nothing is promised against anyone who sees {sees}: {why}."
    return (
        f"Against anyone who sees {sees}, whether or not any one {mechanism.unit} "
        f"({UNIT_DETAIL[mechanism.unit]}) took part changes the chance of any outcome by at "
        f"most a factor e^{_exactly(epsilon)} plus {plan.delta!r}. Adjacency: "
        f"{mechanism.adjacency.value.replace('_', ' ')}. Covers {', '.join(_covers(plan))}; does "
        f"not cover {', '.join(_not_covered(plan))}. Rests on: {rests_on(plan)}. "
        f"Without relying on secret sampling: epsilon {_exactly(bare)}."
    )


def _not_covered(plan: PrivacyPlan) -> tuple[str, ...]:
    if plan.update is None or not plan.update.local_layers:
        return _NOT_COVERED
    if isinstance(plan.mechanism, CLIENT_LEVEL):
        # Secrecy: nothing has put noise on them.
        return (*_NOT_COVERED, "the local layers of a client, which stay there without noise")
    return (*_NOT_COVERED, "whom a client gives its own noisy local layers, which stay there")


def _covers(plan: PrivacyPlan) -> tuple[str, ...]:
    return tuple(_COVERED[kind] for kind in plan.events())


def _exactly(epsilon: float) -> str:
    """All digits, since fewer could round it down: 1234.5678, not 1234.57."""
    return str(epsilon).removesuffix(".0")
