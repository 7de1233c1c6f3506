"""The plan that a configuration describes, a second time; see `recomputation`."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from server.report.reaggregation import aggregation, is_distributed, is_secure
from server.report.redivergence import Step

Json = dict[str, Any]
_BARE = {"gaussian": "gaussian", "integer_noise": "integer"}
_DRAWN = {"gaussian": "poisson", "integer_noise": "poisson_integer"}


class Replan:
    """Plan, events and planned steps of a run.

    Args:
        config: Flat configuration of the run.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.unit = str(config["privacy.unit"])
        self.correlated = self.unit == "client" and config["privacy.correlation"] != "none"
        self.rounds = int(config["rounds"])
        self.secure, self.distributed = is_secure(config), is_distributed(config)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan that the configuration describes."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def queries(self) -> dict[str, Json]:
        """What is asked besides training, by its kind."""
        c = self._config
        found: dict[str, Json] = {}
        if c["evaluation.private_every"]:
            found["evaluate"] = {
                "noise_multiplier": c["evaluation.noise_multiplier"],
                "width": 3,
                "every": c["evaluation.private_every"],
            }
        if c["statistics.private"]:
            found["statistics"] = {
                "noise_multiplier": c["statistics.noise_multiplier"],
                "width": 2 * c["statistics.channels"] + 1,
                "every": 0,
            }
        return found

    @cached_property
    def events(self) -> dict[str, tuple[Json, int]]:
        """By kind of access: what a unit is exposed to each time, and how often at most."""
        found = {"train": (self._training(), 1 if self.correlated else self.rounds)}
        for kind, query in self.queries.items():
            times = self.rounds // query["every"] if query["every"] else 1
            found[kind] = (self._released(query["noise_multiplier"]), times)
        return found

    def event_of(self, kind: str, round_number: int, attempt: int) -> Json | None:
        """What one exchange is charged; None: the plan has no such kind."""
        if kind == "train" and self.correlated and attempt > 1:
            return {"kind": "gaussian", "noise_multiplier": self._repeated(round_number)}
        if kind == "train" and self.correlated and round_number > 1:
            return {"kind": "none"}
        event, _ = self.events.get(kind, (None, 0))
        return event

    def planned(self) -> Counter[Step]:
        """Steps that a unit of a client that is always asked is exposed to."""
        found: Counter[Step] = Counter()
        for event, times in self.events.values():
            for step, count in steps_of(event).items():
                found[step] += count * times
        return found

    @property
    def cap(self) -> int:
        """Largest cohort of a Poisson draw; everybody, where clients keep something."""
        if self._update:
            return int(self._config["population.size"])
        count, rate = self._config["population.size"], self._config["cohort.sample_rate"]
        mean = count * rate
        return int(min(count, math.ceil(mean + 6.0 * math.sqrt(mean * (1.0 - rate)))))

    @property
    def participations(self) -> int:
        """How often a client takes part at most, under correlated noise."""
        c = self._config
        most = c["privacy.max_participations"]
        return int(most or math.ceil(c["rounds"] / c["privacy.min_separation"]))

    @property
    def count_noise(self) -> float:
        """Of the count of unclipped updates; 0: the clip is fixed."""
        c = self._config
        if c["privacy.clipping"] != "adaptive":
            return 0.0
        least = max(
            c["cohort.sample_rate"] * c["population.size"] / 20.0, c["privacy.noise_multiplier"]
        )
        return float(c["privacy.count_noise_multiplier"] or least)

    def _content(self) -> Json:
        c = self._config
        rate = c["cohort.sample_rate"]
        if self.correlated:
            rate = 1.0 / c["privacy.min_separation"]
        return self._update | {
            "rounds": c["rounds"],
            "mechanism": self._mechanism(),
            "population": c["population.size"],
            "cohort_sample_rate": rate,
            "delta": c["privacy.delta"],
            "epsilon_budget": c["privacy.epsilon_budget"],
            "evaluation": self.queries.get("evaluate"),
            "statistics": self.queries.get("statistics"),
            "aggregation": aggregation(c),
        }

    @property
    def _update(self) -> Json:
        """Of the plan, where a client sends and keeps something else than usual."""
        layers = self._config.get("training.local_layers", "")
        algorithm = self._config.get("training.algorithm", "fedavg")
        compression = self._config.get("training.compression", "none")
        if not layers and (algorithm, compression) == ("fedavg", "none"):
            return {}
        share = self._config["training.kept_share"] if compression == "top_k" else 0.0
        return {
            "update": {
                "local_layers": layers,
                "algorithm": algorithm,
                "compression": compression,
                "kept_share": share,
            }
        }

    def _mechanism(self) -> Json:
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
                "distributed": self.distributed,
            }
        if self.correlated:
            return found | {
                "kind": "correlated_client",
                "population": c["population.size"],
                "rounds": c["rounds"],
                "matrix": c["privacy.correlation"],
                "bands": c["privacy.bands"],
                "min_separation": c["privacy.min_separation"],
                "max_participations": self.participations,
            }
        return found | {
            "kind": "client",
            "sample_rate": c["cohort.sample_rate"],
            "population": c["population.size"],
            "cap": self.cap,
            "count_noise_multiplier": self.count_noise,
            "clipping_quantile": c["privacy.clipping_quantile"],
            "clipping_learning_rate": c["privacy.clipping_learning_rate"],
            "cohort_is_told": self.secure,
            "distributed": self.distributed,
        }

    def _training(self) -> Json:
        c = self._config
        if self.unit == "none":
            return {"kind": "non_private"}
        if self.unit == "record":
            step = _sampled(c["training.sample_rate"], self._noise(c["privacy.noise_multiplier"]))
            return {"kind": "self_composed", "count": c["training.steps"], "event": step}
        return self._released(c["privacy.noise_multiplier"])

    def _released(self, noise: float) -> Json:
        """One noisy sum over a cohort, or over everybody."""
        if self.unit != "client" or self.correlated or self.secure:
            # Masks tell each client who else is asked: no draw of clients amplifies.
            return self._noise(noise)
        count, rate = self._config["population.size"], self._config["cohort.sample_rate"]
        if self.cap >= count:
            return _sampled(rate, self._noise(noise))
        return {
            "kind": "truncated_poisson_gaussian",
            "dataset_size": count,
            "sampling_probability": rate,
            "truncated_batch_size": self.cap,
            "noise_multiplier": noise,
        }

    def _noise(self, noise: float) -> Json:
        kind = "integer_noise" if self.distributed else "gaussian"
        return {"kind": kind, "noise_multiplier": noise}

    def _repeated(self, round_number: int) -> float:
        """Noise multiplier of one more release of a round's row; docs/adr/0010."""
        c, most = self._config, self.participations
        noise, apart = float(c["privacy.noise_multiplier"]), int(c["privacy.min_separation"])
        if c["privacy.correlation"] == "banded":
            terms = [math.comb(2 * k, k) / 4.0**k for k in range(c["privacy.bands"])]
            return noise * math.sqrt(most) * math.sqrt(math.fsum(t * t for t in terms))
        total, length = 0, 1
        while length <= self.rounds:
            each = min(most, math.ceil(length / apart))
            places, left = (self.rounds // length + 1) // 2, most
            for _ in range(places):
                total, left = total + min(each, left) ** 2, left - min(each, left)
            length *= 2
        node = 1
        while round_number % (2 * node) == 0:
            node *= 2
        return noise * math.sqrt(total) / min(most, math.ceil(node / apart))


def steps_of(event: Mapping[str, Any], times: int = 1) -> Counter[Step]:
    """The steps of a charged event, each with its count.

    Raises:
        KeyError: an event that nothing here accounts for.
    """
    kind, found = event["kind"], Counter[Step]()
    if kind == "self_composed":
        return steps_of(event["event"], times * event["count"])
    if kind == "composed":
        for part in event["events"]:
            found += steps_of(part, times)
    elif kind not in {"none", "non_private"}:
        found[_step(event)] += times
    return found


def _step(event: Mapping[str, Any]) -> Step:
    kind = event["kind"]
    if kind == "truncated_poisson_gaussian":
        names = ("dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier")
        return "truncated", tuple(event[name] for name in names)
    if kind == "poisson_sampled":
        rate, inner = event["sampling_probability"], event["event"]
        if rate == 1.0:
            return _step(inner)
        return _DRAWN[inner["kind"]], (rate, inner["noise_multiplier"])
    return _BARE[kind], (event["noise_multiplier"],)


def same_event(expected: Mapping[str, Any] | None, event: Mapping[str, Any] | None) -> bool:
    """Whether two events are the same, but for the last bits of a matrix mechanism's noise."""
    if expected is not None and event is not None and expected["kind"] == "gaussian":
        noises = expected["noise_multiplier"], event.get("noise_multiplier", math.nan)
        alike = expected.keys() == event.keys() and event["kind"] == "gaussian"
        return alike and math.isclose(*noises, rel_tol=1e-12)
    return expected == event


def _sampled(rate: float, released: Json) -> Json:
    if rate == 1.0:
        return released
    return {"kind": "poisson_sampled", "sampling_probability": rate, "event": released}
