"""The numbers of a report, a second time: from configuration and charges, by dp-accounting alone.

With `replan` and `reaccount` it imports nothing else of Murmura, on purpose: a mistake in
`shared.dp` must not be repeated here. Deltas below 10⁻¹⁰ are beyond dp-accounting's composition;
claims at them cannot be confirmed.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from server.report.reaccount import Counts, Reaccountant, Step, unsampled
from server.report.replan import Replan, sampled

_SMALLEST_DELTA = 1e-10


class Recomputation:
    """What a report must say of a run.

    Args:
        config: Flat configuration of the run.
        charges: Lines of charges.jsonl.
        orders: Rényi orders of the cross-check.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        charges: Sequence[Mapping[str, Any]],
        orders: Sequence[float],
    ) -> None:
        self._config = config
        self._charges = charges
        self._plan = Replan(config)
        self.unit = self._plan.unit
        self.plan_digest = self._plan.digest
        self._delta = float(config["privacy.delta"])
        self._accountant = Reaccountant(self._delta, orders, zeroed=self.unit == "client")

    def epsilons(self) -> dict[str, Any]:
        """Observer -> epsilon; "inf" where nothing is promised."""
        epsilon = _json(self._epsilon(self._worst(self._charges)))
        alone = "inf" if self.unit == "client" else epsilon
        found = {"every_global_model": epsilon, "released_model": epsilon}
        return {"server_each_update": alone, **found}

    def expected(
        self, report: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The part of the report that charges, configuration and metrics determine."""
        if self._delta < _SMALLEST_DELTA:
            return {"claims": f"cannot be recomputed at delta {self._delta!r}"}
        accuracy = [[m["round"], m["accuracy"]] for m in metrics if m["accuracy"] is not None]
        return {
            "run": {
                "plan_hash": f"sha256:{self.plan_digest}",
                "rounds_planned": self._config["rounds"],
                "rounds_done": len(metrics),
                "seed_policy": "os_csprng" if self._config["seed"] == "os" else "seeded_simulation",
            },
            "claims": [self._claim(claim) for claim in report["claims"]],
            "clients": self._clients(report["clients"]),
            "data_accesses": [self._access(access) for access in report["data_accesses"]],
            "utility": {"by_round": accuracy},
            "ledger": {"entries": len(self._charges)},
        }

    # What the charges come to.

    def _worst(self, charges: Sequence[Mapping[str, Any]]) -> Counter[Step]:
        """The exposure of the client that was asked most; at client level of everybody."""
        if self.unit != "record":
            return _steps(charges)
        found = [
            _steps([charge for charge in charges if client in charge["clients"]])
            for client in {client for charge in charges for client in charge["clients"]}
        ]
        return max(found, key=lambda counts: sum(counts.values()), default=Counter())

    def _claim(self, claim: Mapping[str, Any]) -> dict[str, Any]:
        protected = self.unit == "record" or (
            self.unit == "client" and claim["adversary"] != "server_each_update"
        )
        counts = self._worst(self._charges)
        epsilon = self._epsilon(counts) if protected else math.inf
        bare = self._epsilon(unsampled(counts)) if protected else math.inf
        planned = self._epsilon(self._plan.planned())
        found: dict[str, Any] = {
            "epsilon": _json(epsilon),
            "no_amplification_epsilon": _json(bare),
            "planned_epsilon": _json(planned if protected else math.inf),
            "budget_epsilon": self._config["privacy.epsilon_budget"],
            "delta": self._delta,
            "unit": self.unit if self.unit != "none" else "record",
        }
        if "profile" in claim:
            found |= self._profile(counts, epsilon, claim)
        if "epsilon_by_round" in claim:
            found["epsilon_by_round"] = self._course(claim["epsilon_by_round"], epsilon)
        return found

    def _course(self, told: Sequence[Sequence[float]], epsilon: float) -> list[list[Any]]:
        planned, found = self._epsilon(self._plan.planned()), []
        for number, _ in told:
            until = [charge for charge in self._charges if charge["round_number"] <= number]
            steps = self._worst(until)
            rough = self._epsilon(steps, interval=1e-3)
            # A round that was repeated is not in the plan, and may come to more than it.
            most = planned if steps <= self._plan.planned() else math.inf
            found.append([number, min(rough, most, epsilon)])
        found[-1][1] = epsilon
        return found

    def _profile(self, counts: Counts, epsilon: float, claim: Mapping[str, Any]) -> dict[str, Any]:
        places = np.array([place for place, _ in claim["profile"]])
        risk = claim["risk"]
        rates = np.array([place for place, _ in risk["tpr_curve"]])
        found = self._accountant.true_positive_rates(counts, epsilon, rates)
        return {
            "profile": _pairs(places, self._accountant.deltas(counts, epsilon, places)),
            "risk": {
                "tpr_curve": _pairs(rates, found),
                "tpr_at_fpr": self._rates_at(counts, epsilon, risk["tpr_at_fpr"]),
                "reconstruction_bound": self._rates_at(
                    counts, epsilon, risk["reconstruction_bound"]
                ),
                "advantage": float(self._accountant.deltas(counts, epsilon, np.zeros(1))[0]),
                "posterior_from_prior_50": 1.0 / (1.0 + math.exp(-epsilon)),
            },
        }

    def _rates_at(self, counts: Counts, epsilon: float, told: Any) -> list[list[float]]:
        rates = np.array([place for place, _ in told])
        return _pairs(rates, self._accountant.true_positive_rates(counts, epsilon, rates))

    def _clients(self, told: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"count": self._config["population.size"]}
        spent = []
        for entry in told["per_client"]:
            own = [c for c in self._charges if entry["client"] in c["clients"]]
            rounds = sum(charge["kind"] == "train" for charge in own)
            spent.append(
                {
                    "client": entry["client"],
                    "spent": _json(self._epsilon(_steps(own))),
                    "rounds": rounds,
                    "budget": self._config["privacy.epsilon_budget"],
                }
            )
        worst = _json(self._epsilon(self._worst(self._charges)))
        return found | {"epsilon_max": worst, "per_client": spent}

    def _access(self, told: Mapping[str, Any]) -> dict[str, Any]:
        alone = [charge for charge in self._charges if charge["kind"] == told["kind"]]
        if "epsilon" not in told:
            return {"charged": self.unit != "none"}
        return {"charged": True, "epsilon": _json(self._epsilon(self._worst(alone)))}

    def _epsilon(self, counts: Counts, interval: float | None = None) -> float:
        return math.inf if self.unit == "none" else self._accountant.epsilon(counts, interval)


def _steps(charges: Sequence[Mapping[str, Any]]) -> Counter[Step]:
    found: Counter[Step] = Counter()
    for charge in charges:
        _read(charge["event"], 1, found)
    return found


def _read(event: Mapping[str, Any], times: int, found: Counter[Step]) -> None:
    kind = event["kind"]
    if kind == "self_composed":
        _read(event["event"], times * event["count"], found)
    elif kind == "composed":
        for part in event["events"]:
            _read(part, times, found)
    elif kind == "gaussian":
        found["gaussian", (event["noise_multiplier"],)] += times
    elif kind == "poisson_sampled":
        noise = event["event"]["noise_multiplier"]
        found[sampled(event["sampling_probability"], noise)] += times
    elif kind == "truncated_poisson_gaussian":
        names = ("dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier")
        found["truncated", tuple(event[name] for name in names)] += times
    elif kind not in {"none", "non_private"}:
        raise KeyError(kind)


def _pairs(places: Any, values: Any) -> list[list[float]]:
    return [[float(a), float(b)] for a, b in zip(places, values, strict=True)]


def _json(value: float) -> Any:
    return value if math.isfinite(value) else "inf"
