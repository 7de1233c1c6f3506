"""report.json: every number of it comes from the charges, by the schema beside this file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from server.environment import git_commit, software
from server.evaluation import Measurement
from server.report.claim_details import ClaimDetails
from server.report.spending import Heads, clients, data_accesses, ledger
from server.report.verdict import as_json, assumptions, verdict
from shared.config import RunConfig
from shared.dp.accounting import ORDERS, REPORT_INTERVAL
from shared.dp.claims import Claim, claims_so_far
from shared.dp.events import Charge, event_to_json
from shared.dp.mechanisms import CorrelatedPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.normalisation import Normalisation

_FLOAT_PROTECTION = "none: double-precision Gaussian noise, floating-point attacks are possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a report is made from.

    Attributes:
        config: The run's configuration.
        plan: Its privacy plan.
        charges: All that was released.
        rounds_done: Rounds that were finished.
        simulated: Whether all clients ran in one process.
        policy: Where randomness came from.
        accuracy_by_round: (round, accuracy) on public data.
        final: The last measurement.
        normalisation: How the model's inputs were normalised.
        ledger_heads: Client -> hash and signature of the last entry of its site's ledger.
    """

    config: RunConfig
    plan: PrivacyPlan
    charges: Sequence[Charge]
    rounds_done: int
    simulated: bool
    policy: str
    accuracy_by_round: Sequence[tuple[int, float]]
    final: Measurement
    normalisation: Normalisation | None = None
    ledger_heads: Heads = field(default_factory=dict)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What holds after all charges."""
        return claims_so_far(self.plan, self.charges)


def build_report(outcome: Outcome, run_id: str) -> dict[str, Any]:
    """The privacy report as strict JSON."""
    claims, plan, config = outcome.claims, outcome.plan, outcome.config
    charges, heads = outcome.charges, outcome.ledger_heads
    details = ClaimDetails(plan, charges, claims)
    return {
        "schema_version": "1.0",
        "report_id": run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": {
            "run_id": run_id,
            "software": software(),
            "git_commit": git_commit(),
            "plan_hash": f"sha256:{plan.digest()}",
            "seed_policy": outcome.policy,
            "rounds_planned": config.rounds,
            "rounds_done": outcome.rounds_done,
            "stop_reason": "planned",
            "execution": "simulation" if outcome.simulated else "deployment",
        },
        "verdict": verdict(plan, claims, seeded=config.seeded),
        "claims": [claim.to_json() | details.of(claim) for claim in claims],
        "mechanisms": [_mechanism(outcome)],
        "data_accesses": data_accesses(plan, charges),
        "assumptions": as_json(assumptions(plan, seeded=config.seeded)),
        "accounting": _accounting(),
        "clients": clients(plan, charges, heads),
        "ledger": ledger(plan, charges, heads, simulated=outcome.simulated),
        "audit": [],
        "utility": _utility(outcome, details),
        "trust": _trust(plan),
        "implementation": {
            "rng": f"ChaCha20 streams, {outcome.policy}",
            "float_protection": _FLOAT_PROTECTION,
            "side_channels": "not analysed",
            "model_checks": ["known layers", "changing buffers", "one backward pass per example"],
        },
    }


def _mechanism(outcome: Outcome) -> dict[str, Any]:
    mechanism, plan = outcome.plan.mechanism, outcome.plan
    shared = {"weighting": "uniform", "denominator": "public_constant"}
    event = event_to_json(mechanism.round_event())
    if isinstance(mechanism, NoPrivacy):
        return {
            "name": "none", "dp_event": event, "clip_norm": "none", "noise_multiplier": 0.0,
            "noise_placed_by": "server", "sampling": {"scheme": "unknown"},
            "steps": outcome.rounds_done,
        }  # fmt: skip
    numbers = {
        "dp_event": event,
        "clip_norm": mechanism.clipping_norm,
        "clip_mode": "flat",
        "noise_multiplier": mechanism.noise_multiplier,
        "noise_distribution": "gaussian_float",
    }
    if isinstance(mechanism, RecordPrivacy):
        sampling = {
            "scheme": "poisson" if mechanism.sample_rate < 1 else "all",
            "q": mechanism.sample_rate,
            "population": "private",
            "secret_from": ["server", "other clients", "holder of the model"],
        }
        steps = mechanism.steps_per_round * len(outcome.charges)
        return shared | numbers | {
            "name": "dp-sgd at each site", "noise_placed_by": "each_client",
            "sampling": sampling, "steps": steps,
        }  # fmt: skip
    if isinstance(mechanism, CorrelatedPrivacy):
        return shared | numbers | {
            "name": f"dp-ftrl, {mechanism.matrix} matrix", "noise_placed_by": "server",
            "sampling": {"scheme": "unknown", "population": plan.population},
            "steps": len(outcome.charges), "max_participations": mechanism.max_participations,
            "min_separation": mechanism.min_separation,
        }  # fmt: skip
    sampling = {
        "scheme": "truncated_poisson" if mechanism.sample_rate < 1 else "all",
        "q": mechanism.sample_rate,
        "cap": plan.cap,
        "population": plan.population,
        "secret_from": ["other clients", "holder of the model"],
    }
    clip_mode = "adaptive" if mechanism.adaptive else "flat"
    return shared | numbers | {
        "name": "dp-fedavg", "noise_placed_by": "server", "clip_mode": clip_mode,
        "sampling": sampling, "steps": len(outcome.charges),
    }  # fmt: skip


def _accounting() -> dict[str, Any]:
    return {
        "library": "dp-accounting",
        "version": version("dp-accounting"),
        "value_discretization_interval": REPORT_INTERVAL,
        "orders": list(ORDERS),
        "tuning": {"runs_on_private_data": None, "method": "uncharged", "charged": False},
    }


def _utility(outcome: Outcome, details: ClaimDetails) -> dict[str, Any]:
    by_round = [[number, accuracy] for number, accuracy in outcome.accuracy_by_round]
    finite = [claim for claim in outcome.claims if math.isfinite(claim.epsilon)]
    spent = dict(details.of(finite[0]).get("epsilon_by_round", [])) if finite else {}
    return {
        "metric": "accuracy",
        "by_round": by_round,
        "by_epsilon": [
            [spent[number], accuracy] for number, accuracy in by_round if number in spent
        ],
        "evaluated_on": "public",
    }


def _trust(plan: PrivacyPlan) -> dict[str, Any]:
    each = isinstance(plan.mechanism, RecordPrivacy)
    sees = "every noisy update" if each else "every update of every client in clear"
    trusted = "the run's results" if each else "the noise, and secrecy of every update"
    return {
        "model": "local" if each else "central",
        "parties": [
            {"party": "server", "trusted_for": trusted, "sees": sees},
            {
                "party": "client",
                "trusted_for": "its own data",
                "sees": "the global model of the rounds it takes part in",
            },
        ],
    }
