"""Seconds a round and peak memory of simulations that grow in one direction.

    python benchmarks/scaling.py population --sizes 1000 10000 100000 1000000
    python benchmarks/scaling.py cohort --sizes 10 100 1000 10000
    python benchmarks/scaling.py parameters --sizes 10000 100000 1000000 10000000

Client level, ten records a client, one step of one batch, a linear model, cohort 100 of 1,000 where
nothing else is said. Each size is a process of its own; records are views of one array.
"rounds_mib" is what the process holds more after the last round than before the first; the peak is
that of accounting, whose grids are finer the smaller epsilon is (--unit none leaves it out).
"""

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from server.progress import RoundFinished, RunStarted
from shared.config import Scalar
from shared.task import Examples, Site, TaskSettings
from shared.tasks.image_classification import ImageClassification, Pool
from simulations.federation import simulate

EACH, WIDTH, CLASSES, KEPT = 10, 100, 10, 1000
FEATURES = {"parameters": 0}
UNIT = {"unit": "client"}


class Records(ImageClassification):
    """Of a client: ten rows of an array of a thousand, from a place of its own."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(KEPT + EACH, WIDTH, generator=generator)
        labels = torch.randint(0, CLASSES, (KEPT + EACH,), generator=generator)
        self._records = Examples((rows,), labels)

    def build_model(self) -> nn.Module:
        """About as many parameters as are asked for."""
        hidden = FEATURES["parameters"] // (WIDTH + CLASSES)
        if not hidden:
            return nn.Sequential(nn.Linear(WIDTH, CLASSES))
        return nn.Sequential(nn.Linear(WIDTH, hidden), nn.Tanh(), nn.Linear(hidden, CLASSES))

    def pool(self) -> Pool:
        """The array, for whoever measures."""
        return self._records, self._records

    def site_data(self, site: Site) -> Examples:
        """A view."""
        first = (site.index * EACH) % KEPT
        rows = slice(first, first + EACH)
        return Examples((self._records.inputs[0][rows],), self._records.targets[rows])


class Watch(logging.Handler):
    """Keeps what each round took, and when the first began."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[tuple[float, int]] = []
        self.ready = 0.0
        self.held = [0.0, 0.0]

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        event = getattr(record, "progress", None)
        if isinstance(event, RunStarted):
            self.ready = time.perf_counter()
            self.held[0] = resident_mib()
        elif isinstance(event, RoundFinished):
            self.rounds.append((event.seconds, event.answered))
            self.held[1] = resident_mib()


def resident_mib() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def settings(population: int, cohort: int, rounds: int) -> dict[str, Scalar]:
    """Of one run."""
    return {
        "task": "__main__:Records", "rounds": rounds, "population.size": population,
        "population.examples_per_client": EACH, "cohort.sample_rate": cohort / population,
        "training.batch_size": EACH, "training.learning_rate": 0.1, "training.steps": 1,
        "privacy.unit": UNIT["unit"], "privacy.clipping_norm": 1.0, "privacy.noise_multiplier": 1.0,
        "privacy.epsilon_budget": 1000.0, "privacy.delta": 1e-8,
        "runtime.evaluate_every": rounds, "runtime.device": "cpu", "audit.canaries": 0,
        "output.tensorboard": False,
    }  # fmt: skip


def measured(population: int, cohort: int, parameters: int, rounds: int) -> dict[str, object]:
    """One run in this process."""
    FEATURES["parameters"] = parameters
    watch = Watch()
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(watch)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        simulate(settings(population, cohort, rounds) | {"output.dir": folder})
    kept = [seconds for seconds, _ in watch.rounds[2:]]
    return {
        "population": population, "cohort": cohort, "parameters": parameters,
        "setup_s": round(watch.ready - begun, 3), "median_s": round(statistics.median(kept), 5),
        "least_s": round(min(kept), 5), "most_s": round(max(kept), 5),
        "rounds_mib": round(watch.held[1] - watch.held[0]),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


def main() -> None:
    """A line of JSON for each size."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("direction", choices=["population", "cohort", "parameters", "one"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--unit", choices=["client", "none"], default="client")
    given = parser.parse_args()
    UNIT["unit"] = given.unit
    if given.direction == "one":
        population, cohort, parameters = given.sizes
        print(json.dumps(measured(population, cohort, parameters, given.rounds)))
        return
    for size in given.sizes:
        shape = {"population": 1000, "cohort": 100, "parameters": 0} | {given.direction: size}
        shape["population"] = max(shape["population"], 10 * shape["cohort"])
        sizes = [str(number) for number in shape.values()]
        command = [
            sys.executable,
            __file__,
            "one",
            "--unit",
            given.unit,
            "--rounds",
            str(given.rounds),
            "--sizes",
            *sizes,
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        print(found.stdout.splitlines()[-1] if found.returncode == 0 else found.stderr[-2000:])


if __name__ == "__main__":
    main()
