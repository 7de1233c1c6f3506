"""Numbers of a report that stand in its texts or beside its bounds; see `recomputation`.

A text is right if the numbers in it are those that belong there, in their order. Its words are
held by the report's digest alone.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Any

from server.report.recomputation import Json, Recomputation
from server.report.told import numbers_in

Problems = dict[str, list[str] | None]
_OF_AUDITS = ("AUDIT_EXCEEDS_CLAIM", "AUDIT_ESTIMATE_ABOVE", "AUDIT_FAR_BELOW")


def mechanisms(again: Recomputation) -> list[Json]:
    """The report's `mechanisms`, but for its texts."""
    c, plan = again.config, again.plan
    if plan.unit == "none":
        event = {"kind": "non_private"}
        return [{"dp_event": event, "noise_multiplier": 0.0, "steps": len(again.metrics)}]
    noise = c["privacy.noise_multiplier"]
    effective = noise
    if plan.count_noise and plan.unit == "client" and not plan.correlated:
        left = 1.0 / noise**2 - 1.0 / (2.0 * plan.count_noise) ** 2
        effective = round(1.0 / math.sqrt(left), 6)
    training: Json = {
        "dp_event": plan.events["train"][0],
        "clip_norm": c["privacy.clipping_norm"],
        "noise_multiplier": noise,
        "noise_multiplier_effective": effective,
        "sampling": _sampling(again),
        "steps": _charged(again, "train"),
        "denominator": "public_constant" if _is_mean(again) else "actual_count",
        **_noise(again),
    }
    if plan.unit == "record":
        training["sampling"] = {"q": c["training.sample_rate"]}
        training["steps"] *= c["training.steps"]
    if plan.correlated:
        apart = c["privacy.min_separation"]
        training |= {"max_participations": plan.participations, "min_separation": apart}
    return [
        training,
        *(
            {
                "dp_event": plan.events[kind][0],
                "clip_norm": math.sqrt(query["width"]),
                "noise_multiplier": query["noise_multiplier"],
                "noise_multiplier_effective": query["noise_multiplier"],
                "sampling": _sampling(again),
                "steps": _charged(again, kind),
                **_noise(again),
            }
            for kind, query in sorted(plan.queries.items())
        ),
    ]


def _is_mean(again: Recomputation) -> bool:
    return bool(again.config.get("server.aggregation", "mean") == "mean")


def _noise(again: Recomputation) -> Json:
    if again.plan.distributed:
        family = again.config["aggregation.noise_family"]
        return {"noise_distribution": family, "noise_placed_by": "clients_shared"}
    by = "server" if again.plan.unit == "client" else "each_client"
    return {"noise_distribution": "gaussian_float", "noise_placed_by": by}


def assumptions(again: Recomputation) -> list[Json]:
    """The report's `assumptions`, but for their texts."""
    plan = again.plan
    if plan.unit == "none":
        return []
    assumed = ["client_code"] if plan.unit == "record" or plan.distributed else []
    if plan.distributed:
        assumed += ["honest_fraction", "roster", "noise_shares", "masks"]
        assumed += ["honest_helper"] if again.config["aggregation.helpers"] else []
    elif plan.unit == "client":
        assumed += ["trusted_server"]
    found = [
        {"id": "secret_randomness", "status": "violated" if again.seeded else "enforced"},
        {"id": "fixed_plan", "status": "enforced"},
        *([] if _is_mean(again) else [{"id": "aggregation_rule", "status": "enforced"}]),
        *([{"id": "participation", "status": "enforced"}] if plan.correlated else []),
    ]
    return [*found, *({"id": name, "status": "assumed"} for name in assumed)]


def trust(again: Recomputation) -> Json:
    """The number of the report's `trust`: of clients that may work with the server."""
    if not again.plan.secure:
        return {}
    share = again.config["population.size"] * again.config["aggregation.corrupt_fraction"]
    return {"collusion_threshold": math.floor(share + 1e-9)}


def _charged(again: Recomputation, kind: str) -> int:
    return sum(charge["kind"] == kind for charge in again.charges)


def _sampling(again: Recomputation) -> Json:
    count = again.config["population.size"]
    if again.plan.unit == "record" or again.plan.correlated:
        return {"population": count}
    return {"population": count, "q": again.config["cohort.sample_rate"], "cap": again.plan.cap}


def statement(
    again: Recomputation, claim: Mapping[str, Any], audits: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Numbers of a claim's statement.

    Args:
        again: The run.
        claim: Already confirmed, so that its own numbers are what its text must repeat.
        audits: The report's.
    """
    measured = [
        [repr(math.floor(float(audit["result"]) * 1e4) / 1e4), f"{100 * audit['confidence']:g}"]
        for audit in audits
        if audit["kind"] == "lower_bound" and audit.get("claim_id") == claim["id"]
    ][-1:]
    if claim["epsilon"] == "inf":
        return [number for pair in measured for number in pair]
    found = [_plain(claim["epsilon"]), repr(claim["delta"])]
    if again.plan.correlated:
        found += [str(again.config["privacy.min_separation"]), str(again.plan.participations)]
    if again.plan.distributed:
        found.append(repr(again.config["aggregation.corrupt_fraction"]))
    found.append(_plain(claim["no_amplification_epsilon"]))
    if "risk" in claim:
        risk = claim["risk"]
        caught = [_percent(rate) for place, rate in risk["tpr_at_fpr"] if place == 1e-3]
        found += ["0.1", *caught, "50", _percent(risk["posterior_from_prior_50"])]
    return [*found, *(number for pair in measured for number in pair)]


def rationale(again: Recomputation) -> list[str]:
    """Numbers of the reason for delta."""
    if again.plan.unit == "client":
        return ["1", *numbers_in(f"{1.0 / again.config['population.size']:g}")]
    return ["1", "10"]


def problems(again: Recomputation, audits: Sequence[Mapping[str, Any]]) -> Problems:
    """Code -> numbers of its text, in the order of the report; None: names, which may be any."""
    found: Problems = {}
    if again.seeded and again.plan.unit != "none":
        found["SEEDED_RANDOMNESS"] = []
    if math.isinf(again.epsilon.value):
        found["NO_PRIVACY"] = []
        return found | _of_audits(again, audits)
    if again.uncharged:
        found["UNCHARGED_ACCESS"] = [str(len(again.uncharged)), str(again.uncharged[0])]
    epsilon = again.epsilon.number
    if epsilon > 10.0:
        found["EPSILON_HIGH"] = [repr(epsilon), "10"]
    records = again.config["population.examples_per_client"]
    units = again.config["population.size"] if again.plan.unit == "client" else records
    if units and again.delta * units * 10 > 1.0 + 1e-9:
        found["DELTA_LARGE"] = [repr(again.delta), str(units)]
    if epsilon > 0.95 * again.budget:
        found["BUDGET_NEARLY_SPENT"] = ["95", repr(again.budget)]
    found["TUNING_NOT_CHARGED"] = []
    if not again.agree:
        found["PLD_ABOVE_RDP"] = []
    return found | _of_audits(again, audits)


def level(codes: Collection[str]) -> str:
    """Of the verdict."""
    void = {"SEEDED_RANDOMNESS", "NO_PRIVACY", "UNCHARGED_ACCESS", "AUDIT_EXCEEDS_CLAIM"}
    return "not_private" if void & set(codes) else "guaranteed_with_assumptions"


def honest_fraction(again: Recomputation) -> list[str]:
    """Numbers of the assumption on who works with the server."""
    return [repr(again.config["aggregation.corrupt_fraction"])]


def one_line(again: Recomputation) -> list[str]:
    """Numbers of the verdict's line."""
    if math.isinf(again.epsilon.value):
        return []
    return [repr(again.epsilon.number), repr(again.delta)]


def _of_audits(again: Recomputation, audits: Sequence[Mapping[str, Any]]) -> Problems:
    claims = {claim["id"]: claim for claim in again.claims}
    found = set()
    for audit in audits:
        estimate, claim = audit["kind"] == "estimate", claims.get(audit.get("claim_id"))
        limit = math.inf
        if claim is not None and claim["epsilon"] != "inf":
            limit = claim["epsilon"].number
        alike = audit.get("delta") in {None, again.delta}
        bound = audit["kind"] == "lower_bound" and alike
        if not estimate and (not audit["passed"] or (bound and float(audit["result"]) > limit)):
            found.add("AUDIT_EXCEEDS_CLAIM")
        if estimate and not audit["passed"]:
            found.add("AUDIT_ESTIMATE_ABOVE")
        interval = audit.get("interval")
        if estimate and interval and limit < math.inf and float(interval[1]) < limit / 3.0:
            found.add("AUDIT_FAR_BELOW")
    return {code: None for code in _OF_AUDITS if code in found}


def _plain(value: float) -> str:
    return repr(value).removesuffix(".0")


def _percent(share: float) -> str:
    """Percent with two decimals, rounded up."""
    exact = Fraction(share) * 10_000 - Fraction(1, 10**9)
    return f"{math.ceil(exact) / 100:.2f}"
