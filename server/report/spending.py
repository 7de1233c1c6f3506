"""Who spent how much, and for what: clients, kinds of access, ledgers."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.dp.claim import Claim
from shared.dp.claims import claims_so_far
from shared.dp.events import Charge
from shared.dp.mechanisms import CLIENT_LEVEL, NoPrivacy
from shared.dp.observers import EACH_UPDATE, is_protected
from shared.dp.plan import PrivacyPlan

_LISTED = 1000  # clients, those who spent most first
_ACCESSES = {
    "train": ("one update a client and round", "the global model after every round"),
    "evaluate": ("loss and accuracy on the sites' own data", "their noisy means"),
    "statistics": ("mean and spread of the sites' inputs", "their noisy means"),
}
Heads = Mapping[str, tuple[str, str]]


def uncharged_rounds(charges: Sequence[Charge], rounds_done: int) -> tuple[int, ...]:
    """Rounds that were finished though nothing was charged for them; none, or the run is void."""
    charged = {charge.round_number for charge in charges if charge.kind == "train"}
    return tuple(sorted(set(range(1, rounds_done + 1)) - charged))


def data_accesses(
    plan: PrivacyPlan, charges: Sequence[Charge], *, uncharged: bool = False
) -> list[dict[str, Any]]:
    """Everything that left a client, by kind: who got it, what protects it, what it cost alone.

    Args:
        plan: The run's plan.
        charges: All that was released.
        uncharged: Whether there was training that was never charged.
    """
    private = not isinstance(plan.mechanism, NoPrivacy)
    found: list[dict[str, Any]] = []
    kinds = ["train", *sorted(plan.queries)]
    for kind in kinds:
        sent, published = _ACCESSES[kind]
        alone = [charge for charge in charges if charge.kind == kind]
        charged = private and not (uncharged and kind == "train")
        cost = {"epsilon": _worst(claims_so_far(plan, alone))} if private and alone else {}
        found += [
            {
                "what": sent,
                "released_to": "server",
                "protected": _protection(plan, kind),
                "charged": charged,
                "kind": kind,
            },
            {
                "what": published,
                "released_to": "clients and holder of the model",
                "protected": "dp" if private else "none",
                "charged": charged,
                "kind": kind,
                **cost,
            },
        ]
    return found


def _protection(plan: PrivacyPlan, kind: str) -> str:
    """Of what each client sends. Whole noise of the server covers no answer on its way there."""
    if is_protected(plan, EACH_UPDATE):
        return "dp"
    masked = plan.distributed or (plan.aggregation is not None and kind == "train")
    return "secagg_only" if masked else "none"


def clients(plan: PrivacyPlan, charges: Sequence[Charge], heads: Heads) -> dict[str, Any]:
    """What each client spent of the run's budget; those who spent most first."""
    claims = claims_so_far(plan, charges)
    content: dict[str, Any] = {
        "count": plan.population,
        "epsilon_max": _json(_finite_worst(claims)),
        "per_client": [],
    }
    # Secrecy: amplification at client level rests on nobody learning who was asked, and how often.
    if isinstance(plan.mechanism, CLIENT_LEVEL):
        return content
    spent = _by_client(plan, charges)
    content["epsilon_median"] = _json(
        statistics.median([epsilon for epsilon, _ in spent.values()] or [0.0])
    )
    ranked = sorted(spent.items(), key=lambda item: (-item[1][0], item[0]))
    content["per_client"] = [
        {
            "client": client,
            "spent": _json(epsilon),
            "budget": plan.epsilon_budget,
            "rounds": rounds,
            **_head(heads, client),
        }
        for client, (epsilon, rounds) in ranked[:_LISTED]
    ]
    return content


def ledger(
    plan: PrivacyPlan, charges: Sequence[Charge], heads: Heads, *, simulated: bool
) -> dict[str, Any]:
    """Whose ledger the run was charged to."""
    claims = claims_so_far(plan, charges)
    private = not isinstance(plan.mechanism, NoPrivacy)
    signed = bool(heads)
    return {
        "scope": "client_side_global" if signed else "run_only",
        "head_hash": None,
        "entries": len(charges),
        "opening_epsilon": 0.0,
        "closing_epsilon": claims[-1].to_json()["epsilon"],
        "prior_runs": [],
        "enforced_at": "client" if private and (signed or simulated) else "server",
        "rollback_protection": "hash chain, signature and witness at each site"
        if signed
        else "none",
    }


def _by_client(plan: PrivacyPlan, charges: Sequence[Charge]) -> dict[str, tuple[float, int]]:
    """Client -> (epsilon, rounds of training); equal exposures are computed once."""
    exposed: dict[str, Counter[tuple[str, str]]] = {}
    for charge in charges:
        for client in charge.clients:
            exposed.setdefault(client, Counter())[charge.kind, repr(charge.event)] += 1
    known: dict[frozenset[tuple[tuple[str, str], int]], float] = {}
    found = {}
    for client, counts in exposed.items():
        key = frozenset(counts.items())
        if key not in known:
            own = [charge for charge in charges if client in charge.clients]
            known[key] = _finite_worst(claims_so_far(plan, own))
        rounds = sum(count for (kind, _), count in counts.items() if kind == "train")
        found[client] = (known[key], rounds)
    return found


def _head(heads: Heads, client: str) -> dict[str, str]:
    if client not in heads:
        return {}
    head, signature = heads[client]
    return {"ledger_head": head, "signature": signature}


def _finite_worst(claims: Sequence[Claim]) -> float:
    finite = [claim.epsilon for claim in claims if math.isfinite(claim.epsilon)]
    return max(finite, default=math.inf)


def _worst(claims: Sequence[Claim]) -> float | str:
    return _json(_finite_worst(claims))


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else "inf"
