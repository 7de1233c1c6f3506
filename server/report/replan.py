"""The plan that a configuration describes, a second time; see `recomputation`."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from server.report.reaccount import Step


class Replan:
    """Plan and planned steps of a run.

    Args:
        config: Flat configuration of the run.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.unit = str(config["privacy.unit"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan that the configuration describes."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        c = self._config
        rate = c["cohort.sample_rate"]
        if self._correlated:
            rate = 1.0 / c["privacy.min_separation"]
        evaluation = {
            "noise_multiplier": c["evaluation.noise_multiplier"],
            "width": 3,
            "every": c["evaluation.private_every"],
        }
        statistics = {
            "noise_multiplier": c["statistics.noise_multiplier"],
            "width": 2 * c["statistics.channels"] + 1,
            "every": 0,
        }
        return {
            "rounds": c["rounds"],
            "mechanism": self._mechanism(),
            "population": c["population.size"],
            "cohort_sample_rate": rate,
            "delta": c["privacy.delta"],
            "epsilon_budget": c["privacy.epsilon_budget"],
            "evaluation": evaluation if c["evaluation.private_every"] else None,
            "statistics": statistics if c["statistics.private"] else None,
        }

    @property
    def _correlated(self) -> bool:
        return self.unit == "client" and self._config["privacy.correlation"] != "none"

    def _mechanism(self) -> dict[str, Any]:
        c = self._config
        if self.unit == "none":
            return {"kind": "none"}
        found = {
            "clipping_norm": c["privacy.clipping_norm"],
            "noise_multiplier": c["privacy.noise_multiplier"],
        }
        if self.unit == "record":
            return found | {
                "kind": "record",
                "sample_rate": c["training.sample_rate"],
                "steps_per_round": c["training.steps"],
                "batch_size": c["training.batch_size"],
            }
        if self._correlated:
            separation = c["privacy.min_separation"]
            return found | {
                "kind": "correlated_client",
                "population": c["population.size"],
                "rounds": c["rounds"],
                "matrix": c["privacy.correlation"],
                "bands": c["privacy.bands"],
                "min_separation": separation,
                "max_participations": c["privacy.max_participations"]
                or math.ceil(c["rounds"] / separation),
            }
        count, rate = c["population.size"], c["cohort.sample_rate"]
        least = max(rate * count / 20.0, c["privacy.noise_multiplier"])
        noise = c["privacy.count_noise_multiplier"] or least
        return found | {
            "kind": "client",
            "sample_rate": rate,
            "population": count,
            "cap": self._cap,
            "count_noise_multiplier": noise if c["privacy.clipping"] == "adaptive" else 0.0,
            "clipping_quantile": c["privacy.clipping_quantile"],
            "clipping_learning_rate": c["privacy.clipping_learning_rate"],
        }

    @property
    def _cap(self) -> int:
        count, rate = self._config["population.size"], self._config["cohort.sample_rate"]
        mean = count * rate
        return int(min(count, math.ceil(mean + 6.0 * math.sqrt(mean * (1.0 - rate)))))

    def planned(self) -> Counter[Step]:
        """Steps that a unit of a client that is always asked is exposed to."""
        c, rounds = self._config, int(self._config["rounds"])
        found: Counter[Step] = Counter()
        for step, count in self._steps_of_training().items():
            found[step] += count * (1 if self._correlated else rounds)
        if c["evaluation.private_every"]:
            step = self._query(c["evaluation.noise_multiplier"])
            found[step] += rounds // c["evaluation.private_every"]
        if c["statistics.private"]:
            found[self._query(c["statistics.noise_multiplier"])] += 1
        return found

    def _steps_of_training(self) -> Counter[Step]:
        c = self._config
        noise = c["privacy.noise_multiplier"]
        if self.unit == "record":
            return Counter({sampled(c["training.sample_rate"], noise): c["training.steps"]})
        if self._correlated:
            return Counter({("gaussian", (noise,)): 1})
        return Counter({self._query(noise): 1})

    def _query(self, noise: float) -> Step:
        if self.unit == "record" or self._correlated:
            return ("gaussian", (noise,))
        count, rate = self._config["population.size"], self._config["cohort.sample_rate"]
        if self._cap >= count:
            return sampled(rate, noise)
        return ("truncated", (count, rate, self._cap, noise))


def sampled(rate: float, noise: float) -> Step:
    """A Gaussian step, Poisson sampled unless everybody takes part."""
    return ("gaussian", (noise,)) if rate == 1.0 else ("poisson", (rate, noise))
