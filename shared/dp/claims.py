"""What holds against whom: one claim an observer, planned and spent.

Every claim states unit, adjacency, observer and delta beside its epsilon, and the epsilon that
remains without relying on secret sampling. Amplification by the sampling of clients is claimed at
client level only, against those who do not see who takes part, never against the server.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dp_accounting import dp_event as dp

from shared.dp.accounting import LIVE_INTERVAL, Epsilon, epsilon_of
from shared.dp.events import Charge
from shared.dp.plan import ClientPrivacy, NoPrivacy, PrivacyPlan, RecordPrivacy
from shared.errors import BudgetExhausted

_SEES = {
    "server_each_update": "every update that every client sends, and who takes part",
    "every_global_model": "the global model after every round (other clients)",
    "released_model": "the model at the end",
}
_UNIT_DETAIL = {
    "record": "one training example of one site; a person with records at several sites is "
    "protected at the sum of their epsilons",
    "client": "all training examples of one client",
    "none": "nothing",
}
_RESTS_ON = {
    "record": "every site runs this client unmodified, and its draw of records stays secret",
    "client": "the server, which sees every clipped update, adds the noise and keeps the draw of "
    "the cohort secret",
    "none": "nothing is promised",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One guarantee, in the form of the privacy report's `claims[]`; `epsilon` may be infinite."""

    id: str
    adversary: str
    sees: str
    unit: str
    unit_detail: str
    adjacency: str
    covers: tuple[str, ...]
    not_covered: tuple[str, ...]
    epsilon: float
    delta: float
    delta_rationale: str
    planned_epsilon: float
    budget_epsilon: float
    method: str
    cross_check: dict[str, Any]
    adaptive_valid: str
    no_amplification_epsilon: float
    statement: str

    def to_json(self) -> dict[str, Any]:
        """The claim as JSON; infinity is the text "inf", as the report's schema asks."""
        content = asdict(self)
        content["covers"], content["not_covered"] = list(self.covers), list(self.not_covered)
        content["cross_check"] = {k: _finite(v) for k, v in self.cross_check.items()}
        return {key: _finite(value) for key, value in content.items()}


def planned_claims(plan: PrivacyPlan) -> tuple[Claim, ...]:
    """What the run will have promised at its end if every client is asked in every round."""
    return _claims(plan, plan.rounds)


def claims_so_far(plan: PrivacyPlan, charges: Sequence[Charge]) -> tuple[Claim, ...]:
    """What holds after `charges`, whether or not each of them was answered.

    Record level: the largest count of charges of any one client. Client level: all charges, since
    whoever was not drawn might have been.
    """
    return _claims(plan, _exposures(plan, charges))


def check_budget(plan: PrivacyPlan) -> tuple[Claim, ...]:
    """The planned claims, if every finite one is within the budget.

    Raises:
        BudgetExhausted: the plan would spend more than `plan.epsilon_budget`.
    """
    claims = planned_claims(plan)
    worst = max((c.epsilon for c in claims if math.isfinite(c.epsilon)), default=0.0)
    if worst > plan.epsilon_budget:
        raise BudgetExhausted(
            f"the plan must spend at most epsilon {plan.epsilon_budget:g} at delta "
            f"{plan.delta:g}, got {worst:g}; use more noise (privacy.noise_multiplier), fewer "
            "rounds or a lower sample rate, or raise privacy.epsilon_budget"
        )
    return claims


class SpendingMeter:
    """Epsilon so far of the worst observer with a finite claim, fast enough for every round.

    Never below the report's number for the same charges, and never above the planned one while
    the charges are within the plan.
    """

    def __init__(self, plan: PrivacyPlan) -> None:
        self._plan = plan
        self._planned = max(
            (c.epsilon for c in planned_claims(plan) if math.isfinite(c.epsilon)), default=math.inf
        )

    def after(self, charges: Sequence[Charge]) -> float:
        """Epsilon after `charges`; infinite without privacy, 0 before the first charge."""
        exposures = _exposures(self._plan, charges)
        if isinstance(self._plan.mechanism, NoPrivacy):
            return math.inf
        spent = _epsilon(self._plan, exposures, interval=LIVE_INTERVAL).epsilon
        return min(spent, self._planned) if exposures <= self._plan.rounds else spent


def _exposures(plan: PrivacyPlan, charges: Sequence[Charge]) -> int:
    if not isinstance(plan.mechanism, RecordPrivacy):
        return len(charges)
    asked = Counter(client for charge in charges for client in charge.clients)
    return max(asked.values(), default=0)


def _epsilon(plan: PrivacyPlan, rounds: int, *, interval: float | None = None) -> Epsilon:
    event = (
        dp.SelfComposedDpEvent(plan.mechanism.round_event(), rounds) if rounds else dp.NoOpDpEvent()
    )
    return epsilon_of(event, plan.delta, plan.mechanism.adjacency, interval=interval)


def _claims(plan: PrivacyPlan, rounds: int) -> tuple[Claim, ...]:
    spent = _epsilon(plan, rounds)
    planned = _epsilon(plan, plan.rounds)
    bare = _without_amplification(plan, rounds)
    claims = []
    for number, adversary in enumerate(_SEES, start=1):
        unprotected = isinstance(plan.mechanism, NoPrivacy) or (
            # Secrecy: at client level the server holds every update before the noise.
            isinstance(plan.mechanism, ClientPrivacy) and adversary == "server_each_update"
        )
        claims.append(
            _claim(plan, f"c{number}", adversary, _Numbers(spent, planned, bare, unprotected))
        )
    return tuple(claims)


@dataclass(frozen=True, slots=True)
class _Numbers:
    spent: Epsilon
    planned: Epsilon
    bare: float
    unprotected: bool


def _without_amplification(plan: PrivacyPlan, rounds: int) -> float:
    if not rounds:
        return 0.0
    event = dp.SelfComposedDpEvent(plan.mechanism.round_event_without_amplification(), rounds)
    return epsilon_of(event, plan.delta, plan.mechanism.adjacency).epsilon


def _claim(plan: PrivacyPlan, name: str, adversary: str, numbers: _Numbers) -> Claim:
    spent, unprotected = numbers.spent, numbers.unprotected
    unit = plan.mechanism.unit if plan.mechanism.unit != "none" else "record"
    epsilon = math.inf if unprotected else spent.epsilon
    bare = math.inf if unprotected else numbers.bare
    checks = {} if unprotected else {"pld": spent.pld, "agree": spent.agree}
    if spent.rdp is not None and not unprotected:
        checks["rdp"] = spent.rdp
    return Claim(
        id=name,
        adversary=adversary,
        sees=_SEES[adversary],
        unit=unit,
        unit_detail=_UNIT_DETAIL[plan.mechanism.unit],
        adjacency=plan.mechanism.adjacency.value,
        covers=("training",),
        not_covered=("choice of hyper-parameters", "other runs on the same data"),
        epsilon=epsilon,
        delta=plan.delta,
        delta_rationale=_delta_rationale(plan),
        planned_epsilon=math.inf if unprotected else numbers.planned.epsilon,
        budget_epsilon=plan.epsilon_budget,
        method=spent.method,
        cross_check=checks,
        adaptive_valid="fixed_plan",
        no_amplification_epsilon=bare,
        statement=_statement(plan, adversary, epsilon, bare),
    )


def _delta_rationale(plan: PrivacyPlan) -> str:
    if isinstance(plan.mechanism, ClientPrivacy):
        return f"below 1/population = {1.0 / plan.population:g}"
    return "set by the operator; should be below 1/(10 × records of the largest site)"


def _statement(plan: PrivacyPlan, adversary: str, epsilon: float, bare: float) -> str:
    mechanism = plan.mechanism
    if math.isinf(epsilon):
        why = (
            "the run has no differential privacy"
            if isinstance(mechanism, NoPrivacy)
            else "it receives each clipped update before the noise is added"
        )
        return f"Nothing is promised against anyone who sees {_SEES[adversary]}: {why}."
    return (
        f"Against anyone who sees {_SEES[adversary]}, whether or not any one {mechanism.unit} "
        f"({_UNIT_DETAIL[mechanism.unit]}) took part changes the chance of any outcome by at "
        f"most a factor e^{epsilon:g} plus {plan.delta:g}. Adjacency: "
        f"{mechanism.adjacency.value.replace('_', ' ')}. Covers training; does not cover the "
        f"choice of hyper-parameters or other runs on the same data. Rests on: "
        f"{_RESTS_ON[mechanism.unit]}. Without relying on secret sampling: epsilon {bare:g}."
    )


def _finite(value: Any) -> Any:
    """`value` as strict JSON: infinity is the text "inf"."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value
