"""report.json: every number of it comes from the charges, by the schema beside this file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from server.environment import git_commit, software
from server.evaluation import Measurement
from server.report.assumptions import Enforcement, Facts, as_json, assumptions
from server.report.audits import with_audits
from server.report.claim_details import ClaimDetails
from server.report.mechanisms import mechanisms
from server.report.spending import Heads, clients, data_accesses, ledger, uncharged_rounds
from server.report.trust import implementation, trust
from server.report.verdict import verdict
from server.roster import AskedRoster, Roster
from shared.config import RunConfig
from shared.dp.accounting import REPORT_INTERVAL
from shared.dp.claim import Claim
from shared.dp.claims import claims_so_far
from shared.dp.curves import ORDERS
from shared.dp.events import Charge
from shared.dp.plan import PrivacyPlan
from shared.normalisation import Normalisation


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
        roster: Who took part, and what sites say of whoever decides there on what leaves them.
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
    roster: Roster = field(default_factory=AskedRoster)

    @property
    def enforcement(self) -> Enforcement:
        """What can be known of the sites' own enforcement."""
        return Enforcement(
            enrolled=len(self.roster.places),
            claimed=len(self.roster.guarded),
            signed=bool(self.config.output.bundle_signature),
        )

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What holds after all charges."""
        return claims_so_far(self.plan, self.charges)


def build_report(
    outcome: Outcome, run_id: str, audits: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The privacy report as strict JSON.

    Args:
        outcome: What the run came to.
        run_id: Its name.
        audits: What was measured of it, in the form of the report's `audit[]`.
    """
    claims, plan, config = outcome.claims, outcome.plan, outcome.config
    charges, heads = outcome.charges, outcome.ledger_heads
    details = ClaimDetails(plan, charges, claims)
    facts = Facts(
        seeded=config.seeded,
        records=config.population.examples_per_client or None,
        uncharged=uncharged_rounds(charges, outcome.rounds_done),
        simulated=outcome.simulated,
        rule=config.server.aggregation,
        enforcement=outcome.enforcement,
    )
    report = {
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
        "verdict": verdict(plan, claims, facts),
        "claims": [claim.to_json() | details.of(claim) for claim in claims],
        "mechanisms": mechanisms(plan, charges, outcome.rounds_done, facts.rule),
        "data_accesses": data_accesses(plan, charges, uncharged=bool(facts.uncharged)),
        "assumptions": as_json(assumptions(plan, facts)),
        "accounting": _accounting(),
        "clients": clients(plan, charges, heads),
        "ledger": ledger(plan, charges, heads, simulated=outcome.simulated),
        "audit": [],
        "utility": _utility(outcome, details),
        "trust": trust(plan),
        "implementation": implementation(plan, outcome.policy)
        | {"client_side_enforcement": facts.client_side_enforcement},
    }
    return with_audits(report, audits) if audits else report


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
