"""What secure aggregation adds to a round of many clients in the in-process grid: time and memory.

    PYTHONPATH=. python benchmarks/secure_aggregation_grid.py --clients 1000 --lost 100

Client level, a linear model of 100,000 parameters, one example and one step a client, so that a
round is hardly more than its messages. The same federation with secure aggregation and without it,
each in a process of its own, the same clients lost in training. Prints one JSON line: seconds of
each round and of the setup, and the largest memory of each process.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn

from server.progress import RoundFinished, RunStarted
from shared.config import Scalar
from shared.task import Examples, Site, TaskSettings
from simulations.faults import Fault, ScriptedFaults
from simulations.federation import simulate

INPUTS, CLASSES, ROUNDS = 1000, 100, 2


class Wide:
    """100,000 weights, and an example of noise for each site."""

    def __init__(self, settings: TaskSettings) -> None:
        del settings
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(50, INPUTS, generator=generator)
        self._examples = Examples((inputs,), torch.arange(50) % CLASSES)

    def build_model(self) -> nn.Module:
        """A matrix."""
        return nn.Linear(INPUTS, CLASSES, bias=False)

    def site_data(self, site: Site) -> Examples:
        """One of the fifty."""
        return self._examples.select(torch.tensor([site.index % 50]))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Right or wrong."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}

    def evaluation_data(self) -> Examples:
        """All of them."""
        return self._examples


class Clock(logging.Handler):
    """Seconds of each round, and of all before the first."""

    def __init__(self) -> None:
        super().__init__()
        self.start = time.perf_counter()
        self.rounds: list[float] = []
        self.setup = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Note what was told."""
        event = getattr(record, "progress", None)
        if isinstance(event, RunStarted):
            self.setup = time.perf_counter() - self.start
        if isinstance(event, RoundFinished):
            self.rounds.append(event.seconds)


def federation(clients: int, lost: int, changed: Mapping[str, Scalar], out: Connection) -> None:
    """Run one, and send what it cost."""
    clock = Clock()
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(clock)
    numbers = (str(number + 1) for number in range(ROUNDS))
    faults = {
        (index, number): Fault.UNAVAILABLE
        for number in numbers
        for index in range(0, clients, max(1, clients // max(1, lost)))[:lost]
    }
    with tempfile.TemporaryDirectory() as folder:
        simulate({
            "task": "__mp_main__:Wide", "rounds": ROUNDS, "population.size": clients,
            "training.learning_rate": 0.1, "training.sample_rate": 1.0, "training.batch_size": 1,
            "privacy.unit": "client", "privacy.clipping_norm": 1.0,
            "privacy.noise_multiplier": 10.0, "privacy.epsilon_budget": 1000.0,
            "runtime.evaluate_every": ROUNDS, "runtime.device": "cpu", "audit.canaries": 0,
            "output.dir": str(Path(folder)), "output.tensorboard": False, **changed,
        }, faults=ScriptedFaults(faults))  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time()
    out.send({
        "setup_s": round(clock.setup, 2),
        "round_s": [round(seconds, 2) for seconds in clock.rounds],
        "cpu_s": round(cpu, 1),
        "peak_mb": round(peak / 1024),
    })  # fmt: skip


def measured(clients: int, lost: int, changed: Mapping[str, Scalar]) -> dict[str, object]:
    """What a federation cost, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=federation, args=(clients, lost, changed, there))
    process.start()
    found: dict[str, object] = here.recv()
    process.join()
    return found


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--lost", type=int, default=100)
    parser.add_argument("--bits", type=int, default=20)
    asked = parser.parse_args()
    secure = {"secure_aggregation": "on", "aggregation.bits": asked.bits}
    kinds: dict[str, Mapping[str, Scalar]] = {
        "clear": {"secure_aggregation": "off"},
        "secure": secure,
        "secure_shared_noise": secure | {"privacy.noise": "distributed"},
    }
    found = {name: measured(asked.clients, asked.lost, kind) for name, kind in kinds.items()}
    print(json.dumps({"clients": asked.clients, "lost": asked.lost, **found}))


if __name__ == "__main__":
    main()
