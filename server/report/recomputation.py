"""The numbers of a report, a second time: from configuration, charges and metrics alone.

With `replan`, `reexposure`, `reaccount`, `single_steps`, `retold` and `told` it imports nothing
else of Murmura, on purpose: a mistake in `shared.dp` must not be repeated here. Nothing is taken
from the report that is checked, neither a place on a curve nor a list of clients. Deltas below
10⁻¹⁰ are beyond dp-accounting's composition; claims at them cannot be confirmed.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from server.report.reaccount import (
    Counts,
    Reaccountant,
    group,
    orders_shown,
    unsampled,
)
from server.report.reexposure import Charges, exposures, within
from server.report.replan import Replan
from server.report.single_steps import ORDERS, Step
from server.report.told import Told

_SMALLEST_DELTA = 1e-10
_CURVE = [Told(float(rate), 5).number for rate in np.logspace(-5, 0, 41)]
_RATES, _PRIORS = [1e-4, 1e-3, 1e-2, 0.1], [1e-3, 1e-2, 0.1]
_OBSERVERS = ("server_each_update", "server_secagg_sum", "every_global_model", "released_model")
_SERVER = _OBSERVERS[:2]
_LISTED = 1000
_LIVE = 1e-3
Json = dict[str, Any]


class Recomputation:
    """What a report must say of a run.

    Args:
        config: Flat configuration of the run.
        charges: Lines of charges.jsonl.
        metrics: Lines of metrics.jsonl.

    Raises:
        KeyError: an event that nothing here accounts for.
    """

    def __init__(
        self, config: Mapping[str, Any], charges: Charges, metrics: Sequence[Mapping[str, Any]]
    ) -> None:
        self.config = config
        self.charges = charges
        self.metrics = metrics
        self.plan = Replan(config)
        self.delta = float(config["privacy.delta"])
        self.budget = config["privacy.epsilon_budget"]
        self.seeded = config["seed"] != "os"
        self._accountant = Reaccountant(self.delta, zeroed=self.plan.unit == "client")

    @property
    def confirmable(self) -> bool:
        """Whether delta is one at which the library composes well enough."""
        return self.delta >= _SMALLEST_DELTA

    @cached_property
    def epsilon(self) -> Told:
        """Of the observers to whom something is promised."""
        return Told(self._epsilon(self.charges))

    @property
    def agree(self) -> bool:
        """Whether no distribution is above another bound."""
        return math.isinf(self.epsilon.value) or bool(self._check["agree"])

    @cached_property
    def uncharged(self) -> list[int]:
        """Finished rounds without a charge."""
        charged = {c["round_number"] for c in self.charges if c["kind"] == "train"}
        return [m["round"] for m in self.metrics if m["round"] not in charged]

    def promised(self, observer: str) -> bool:
        """Whether the mechanism stands between the observer and a unit."""
        if self.plan.distributed:
            return observer != "server_each_update"
        held = self.plan.unit == "client" and observer in _SERVER
        return self.plan.unit != "none" and not held

    @cached_property
    def claims(self) -> list[Json]:
        """The report's `claims`, but for their texts."""
        return [
            self._claim(f"c{number}", observer)
            for number, observer in enumerate(self._observers, start=1)
        ]

    @property
    def _observers(self) -> list[str]:
        return [name for name in _OBSERVERS if self.plan.secure or name != "server_secagg_sum"]

    def told(self, observer: str) -> Json:
        """What summary and model say of a claim besides the report."""
        kept = ("epsilon", "delta", "no_amplification_epsilon", "budget_epsilon")
        claims = {claim["adversary"]: claim for claim in self.claims}
        return {key: claims[observer][key] for key in kept}

    @cached_property
    def blocks(self) -> Json:
        """The other blocks of the report that have numbers."""
        rounds = [[m["round"], m["accuracy"]] for m in self.metrics if m["accuracy"] is not None]
        spent = dict(self._course)
        return {
            "run": {
                "plan_hash": f"sha256:{self.plan.digest}",
                "rounds_planned": self.config["rounds"],
                "rounds_done": len(self.metrics),
                "seed_policy": "seeded_simulation" if self.seeded else "os_csprng",
            },
            "data_accesses": self._accesses(),
            "accounting": {"value_discretization_interval": 1e-4, "orders": list(ORDERS)},
            "clients": self._clients(),
            "ledger": {
                "entries": len(self.charges),
                "opening_epsilon": 0.0,
                "closing_epsilon": self.epsilon,
            },
            "utility": {
                "by_round": rounds,
                "by_epsilon": [[spent[n], accuracy] for n, accuracy in rounds if n in spent],
            },
        }

    def _exposures(self, charges: Charges) -> list[Counter[Step]]:
        return exposures(charges, self.plan.unit)

    def _epsilon(self, charges: Charges, interval: float | None = None) -> float:
        if self.plan.unit == "none":
            return math.inf
        found = self._exposures(charges)
        return max(self._accountant.bounds(counts, interval).least for counts in found)

    @cached_property
    def _planned(self) -> float:
        if self.plan.unit == "none":
            return math.inf
        return self._accountant.bounds(self.plan.planned()).least

    def _claim(self, name: str, observer: str) -> Json:
        protected = self.promised(observer)
        found: Json = {
            "id": name,
            "adversary": observer,
            "unit": self.plan.unit if self.plan.unit != "none" else "record",
            "adjacency": "zero_out" if self.plan.unit == "client" else "add_or_remove_one",
            "epsilon": self.epsilon if protected else "inf",
            "delta": self.delta,
            "planned_epsilon": Told(self._planned) if protected else "inf",
            "budget_epsilon": self.budget,
            "no_amplification_epsilon": self._bare if protected else "inf",
            "cross_check": self._check if protected else {},
        }
        if protected and 0.0 < self.epsilon.value < math.inf:
            found["epsilon_by_round"] = [list(point) for point in self._course]
            if self.epsilon.number <= 100.0:
                found |= self._details
        return found

    @cached_property
    def _bare(self) -> Told:
        found = self._exposures(self.charges)
        return Told(max(self._accountant.bounds(unsampled(c)).least for c in found))

    @cached_property
    def _worst(self) -> Counter[Step]:
        found = self._exposures(self.charges)
        return max(found, key=lambda c: Told(self._accountant.bounds(c).least).number)

    @cached_property
    def _check(self) -> Json:
        bounds = self._accountant.bounds(self._worst)
        found = {
            "pld": Told(bounds.pld, 7),
            "agree": bounds.pld <= bounds.least + 1e-4,
            "interval": bounds.interval,
        }
        return found if math.isinf(bounds.rdp) else found | {"rdp": Told(bounds.rdp, 7)}

    @cached_property
    def _course(self) -> list[tuple[int, Told]]:
        rounds = sorted({charge["round_number"] for charge in self.charges})
        if not rounds or not 0.0 < self.epsilon.value < math.inf:
            return []
        found, so_far = [], 0.0
        for number in sorted({*rounds[:: max(1, len(rounds) // 40)], rounds[-1]}):
            until = [c for c in self.charges if c["round_number"] <= number]
            epsilon = self.epsilon.value
            if number != rounds[-1]:
                epsilon = self._epsilon(until, _LIVE)
                if within([*self.plan.events.values()], until, self.plan.unit):
                    epsilon = min(epsilon, self._planned)
            so_far = min(max(epsilon, so_far), self.epsilon.value)
            found.append((number, Told(so_far)))
        return found

    @cached_property
    def _details(self) -> Json:
        exposed = self._exposures(self.charges)
        epsilon, made = self.epsilon.number, self._accountant
        interval = made.bounds(self._worst).interval
        places = [round(float(e), 6) for e in np.linspace(0.0, 1.5 * epsilon, 41)]

        def rates(at: list[float]) -> list[list[Any]]:
            found = [made.rates(c, np.array(at), epsilon, interval) for c in exposed]
            return _curve(at, np.max(found, axis=0))

        deltas = np.max([made.deltas(c, np.array(places), interval) for c in exposed], axis=0)
        certain = max(made.posterior(c, epsilon, interval) for c in exposed)
        found: Json = {
            "profile": _curve(places, deltas),
            "risk": {
                "tpr_at_fpr": rates(_RATES),
                "tpr_curve": rates(_CURVE),
                "advantage": Told(float(deltas[0]), 5),
                "posterior_from_prior_50": Told(certain, 5),
                "reconstruction_bound": rates(_PRIORS),
            },
        }
        return found | self._constants(exposed)

    def _constants(self, exposed: Sequence[Counts]) -> Json:
        """What does not depend on epsilon: Rényi curve, ρ, μ, groups."""
        made, found = self._accountant, dict[str, Any]()
        curves = [made.renyi(counts) for counts in exposed]
        shown = [orders_shown(curve) if curve is not None else [] for curve in curves]
        found["rdp"] = []
        if all(shown):
            common = sorted(set.intersection(*({a for a, _ in curve} for curve in shown)))
            largest = [max(r for curve in shown for a, r in curve if a == at) for at in common]
            found["rdp"] = _curve(common, largest)
        sizes = [made.gaussian_size(counts) for counts in exposed]
        known = [size for size in sizes if size is not None]
        if len(known) == len(sizes):
            size = max(known)
            found |= {"mu_gdp": Told(size, 5), "mu_regret": 0.0, "rho_zcdp": Told(size**2 / 2, 5)}
        else:
            found |= {"mu_gdp": None, "mu_regret": None}
        if self.plan.unit == "record":
            groups = [
                {"records": k, "epsilon": Told(max(group(c, k, self.delta) for c in exposed))}
                for k in (2, 5, 10)
            ]
            found |= {"group": groups[0], "groups": groups}
        return found

    def _accesses(self) -> list[Json]:
        private, found = self.plan.unit != "none", list[Json]()
        for kind in ["train", *sorted(self.plan.queries)]:
            alone = [charge for charge in self.charges if charge["kind"] == kind]
            charged = private and not (kind == "train" and self.uncharged)
            cost = {"epsilon": Told(self._epsilon(alone))} if private and alone else {}
            found += [{"kind": kind, "charged": charged}, {"kind": kind, "charged": charged} | cost]
        return found

    def _clients(self) -> Json:
        found: Json = {"count": self.config["population.size"], "epsilon_max": self.epsilon}
        if self.plan.unit == "client":
            return found | {"per_client": []}
        own: dict[str, list[Mapping[str, Any]]] = {}
        for charge in self.charges:
            for name in dict.fromkeys(charge["clients"]):
                own.setdefault(name, []).append(charge)
        spent = {name: Told(self._epsilon(charges)) for name, charges in own.items()}
        ranked = sorted(own, key=lambda name: (-spent[name].number, name))[:_LISTED]
        middle = statistics.median([told.number for told in spent.values()] or [0.0])
        listed = [
            {
                "client": name,
                "spent": spent[name],
                "budget": self.budget,
                "rounds": sum(charge["kind"] == "train" for charge in own[name]),
            }
            for name in ranked
        ]
        median = middle if math.isfinite(middle) else "inf"
        return found | {"epsilon_median": median, "per_client": listed}


def _curve(places: Sequence[float], values: Any) -> list[list[Any]]:
    return [[float(a), Told(float(b), 5)] for a, b in zip(places, values, strict=True)]
