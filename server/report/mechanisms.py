"""What added the noise: one entry for each kind of access that the plan has."""

from collections.abc import Sequence
from typing import Any

from dp_accounting import dp_event as dp

from shared.dp.events import Charge, event_to_json
from shared.dp.mechanisms import (
    CLIENT_LEVEL,
    ClientPrivacy,
    CorrelatedPrivacy,
    NoPrivacy,
    RecordPrivacy,
)
from shared.dp.plan import PrivacyPlan

_QUERIES = {
    "evaluate": "private evaluation: noisy sums of loss and accuracy",
    "statistics": "private input statistics: noisy sums",
}
Protected = RecordPrivacy | ClientPrivacy | CorrelatedPrivacy


def mechanisms(
    plan: PrivacyPlan, charges: Sequence[Charge], rounds_done: int, rule: str = "mean"
) -> list[dict[str, Any]]:
    """The report's `mechanisms`; `steps` counts what was charged, repeated attempts too.

    Args:
        plan: The run's plan.
        charges: All that was released.
        rounds_done: Rounds that were finished.
        rule: By which updates are combined; all but the mean divide by those who answered.
    """
    mechanism = plan.mechanism
    if isinstance(mechanism, NoPrivacy):
        return [
            {
                "name": "none", "dp_event": event_to_json(mechanism.round_event()),
                "clip_norm": "none", "noise_multiplier": 0.0, "noise_placed_by": "server",
                "sampling": {"scheme": "unknown"}, "steps": rounds_done,
            }
        ]  # fmt: skip
    return [
        _training(plan, mechanism, _count(charges, "train")) | _divided(rule),
        *(_query(plan, mechanism, kind, _count(charges, kind)) for kind in sorted(plan.queries)),
    ]


def _divided(rule: str) -> dict[str, Any]:
    return {} if rule == "mean" else {"denominator": "actual_count"}


def _count(charges: Sequence[Charge], kind: str) -> int:
    return sum(charge.kind == kind for charge in charges)


def _training(plan: PrivacyPlan, mechanism: Protected, charged: int) -> dict[str, Any]:
    found = {
        "dp_event": event_to_json(mechanism.round_event()),
        "clip_norm": mechanism.clipping_norm,
        "clip_mode": "flat",
        "noise_multiplier": mechanism.noise_multiplier,
        "noise_multiplier_effective": mechanism.noise_multiplier,
        **_common(plan, mechanism),
    }
    if isinstance(mechanism, RecordPrivacy):
        return found | {
            "name": "dp-sgd over all sites, shared noise"
            if plan.distributed
            else "dp-sgd at each site",
            "sampling": _of_records(mechanism.sample_rate),
            "steps": mechanism.steps_per_round * charged,
        }
    if isinstance(mechanism, CorrelatedPrivacy):
        return found | {
            "name": f"dp-ftrl, {mechanism.matrix} correlated noise",
            "sampling": _of_everybody(plan),
            "steps": charged,
            "max_participations": mechanism.max_participations,
            "min_separation": mechanism.min_separation,
        }
    return found | {
        "name": "dp-fedavg, shared noise" if plan.distributed else "dp-fedavg",
        "clip_mode": "adaptive" if mechanism.adaptive else "flat",
        # What the updates' own noise comes to where the count of unclipped ones takes its share.
        "noise_multiplier_effective": round(mechanism.update_noise_multiplier, 6),
        "sampling": _of_clients(plan, mechanism),
        "steps": charged,
    }


def _query(plan: PrivacyPlan, mechanism: Protected, kind: str, charged: int) -> dict[str, Any]:
    query = plan.queries[kind]
    event: dp.DpEvent = plan.query_event(query)
    sampling = _of_everybody(plan)
    if isinstance(mechanism, ClientPrivacy):
        sampling = _of_clients(plan, mechanism)
    return {
        "name": _QUERIES[kind],
        "dp_event": event_to_json(event),
        "clip_norm": query.clipping_norm,
        "clip_mode": "flat",
        "noise_multiplier": query.noise_multiplier,
        "noise_multiplier_effective": query.noise_multiplier,
        **_common(plan, mechanism),
        "sampling": sampling,
        "steps": charged,
    }


def _common(plan: PrivacyPlan, mechanism: Protected) -> dict[str, Any]:
    family, by = "gaussian_float", "each_client"
    if plan.distributed and plan.aggregation is not None:
        family, by = plan.aggregation.family, "clients_shared"
    elif isinstance(mechanism, CLIENT_LEVEL):
        by = "server"
    return {
        "noise_distribution": family,
        "noise_placed_by": by,
        "weighting": "uniform",
        "denominator": "public_constant",
    }


def _of_records(rate: float) -> dict[str, Any]:
    return {
        "scheme": "poisson" if rate < 1 else "all",
        "q": rate,
        "population": "private",
        "secret_from": ["server", "other clients", "holder of the model"],
    }


def _of_clients(plan: PrivacyPlan, mechanism: ClientPrivacy) -> dict[str, Any]:
    return {
        "scheme": "truncated_poisson" if mechanism.sample_rate < 1 else "all",
        "q": mechanism.sample_rate,
        "cap": plan.cap,
        "population": plan.population,
        # Masks name everybody in a cohort to everybody in it.
        "secret_from": [] if mechanism.cohort_is_told else ["other clients", "holder of the model"],
    }


def _of_everybody(plan: PrivacyPlan) -> dict[str, Any]:
    """Asked by a public rule: nothing is amplified and nothing must be secret."""
    return {"scheme": "all", "population": plan.population, "secret_from": []}
