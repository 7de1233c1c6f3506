"""Seconds a round of a simulation against a bare torch loop that does the same gradient steps.

    python benchmarks/cohort_engine.py cnn --rounds 12
    python benchmarks/cohort_engine.py mlp --rounds 40
    python benchmarks/cohort_engine.py record --rounds 8

cnn: client level, 1,000 clients of 50 images, cohort 50, batch 10, one epoch, 421,642 parameters.
mlp: client level, 5,000 clients of 10 images, cohort 100, one step each, 784-64-10.
record: as cnn, with DP-SGD inside each client; beside it a client loop over Opacus' hooks.

Paired: after each round of the federation the bare loop trains as many clients in the same process,
with one torch thread and with all in turn. Images are random: no step depends on them. With
--device cuda both train there, and the bare loop has its images there from the beginning.
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from server.progress import RoundFinished
from shared.config import Scalar
from shared.task import Examples, TaskSettings
from shared.tasks.image_classification import ImageClassification, Pool, cnn
from simulations.federation import simulate

CLIP, NOISE, LEARNING_RATE = 1.0, 1.0, 0.05


def mlp() -> nn.Module:
    """784-64-10: 50,890 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Work:
    """One comparison."""

    model: Callable[[], nn.Module]
    clients: int
    each: int
    batch: int
    cohort: int
    record: bool = False


WORKS = {
    "cnn": Work(cnn, 1000, 50, 10, 50),
    "mlp": Work(mlp, 5000, 10, 10, 100),
    "record": Work(cnn, 1000, 50, 10, 50, record=True),
}
WORK = WORKS[os.environ.get("MURMURA_WORK", "cnn")]


class RandomImages(ImageClassification):
    """Images of noise, and 100 to measure on."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        generator = torch.Generator().manual_seed(0)

        def images(count: int) -> Examples:
            pixels = torch.rand(count, 1, 28, 28, generator=generator)
            return Examples((pixels,), torch.randint(0, 10, (count,), generator=generator))

        self._images = images(WORK.clients * WORK.each), images(100)

    def build_model(self) -> nn.Module:
        """The work's."""
        return WORK.model()

    def pool(self) -> Pool:
        """The images."""
        return self._images


class Pair(logging.Handler):
    """After each round of the federation, the bare loop for as many clients."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.seconds: dict[str, list[float]] = {"murmura": []}
        self._device = device
        self._images = RandomImages(TaskSettings()).pool()[0].to(device)
        self._model = WORK.model().to(device)

    def emit(self, record: logging.LogRecord) -> None:
        """Time the bare loop."""
        event = getattr(record, "progress", None)
        if not isinstance(event, RoundFinished):
            return
        self.seconds["murmura"].append(event.seconds)
        told = [f"round {event.round_number}: {event.answered} clients, {event.seconds:.4f} s"]
        on_cpu = self._device.type == "cpu"
        for threads in sorted({1, os.cpu_count() or 1}) if on_cpu else [1]:
            torch.set_num_threads(threads)
            start = time.perf_counter()
            self._round(event.answered)
            if not on_cpu:
                torch.cuda.synchronize()
            spent = time.perf_counter() - start
            name = f"bare, {threads} thread{'s' * (threads > 1)}" if on_cpu else "bare"
            self.seconds.setdefault(name, []).append(spent)
            told.append(f"{name} {spent:.4f} s")
        torch.set_num_threads(1)
        print(", ".join(told), flush=True)

    def _round(self, clients: int) -> None:
        weights = list(self._model.parameters())
        start = [weight.detach().clone() for weight in weights]
        total = [torch.zeros_like(weight) for weight in weights]
        for client in range(clients):
            with torch.no_grad():
                for weight, first in zip(weights, start, strict=True):
                    weight.copy_(first)
            site = self._images.select(
                torch.arange(WORK.each, device=self._device) + client * WORK.each
            )
            (self._private_epoch if WORK.record else self._epoch)(site)
            with torch.no_grad():
                update = [w - first for w, first in zip(weights, start, strict=True)]
                norm = torch.stack([part.norm() for part in update]).norm()
                scale = 1.0 if WORK.record else float((CLIP / norm).clamp(max=1.0))
                for part, own in zip(total, update, strict=True):
                    part.add_(own, alpha=scale)
        with torch.no_grad():
            for weight, first, part in zip(weights, start, total, strict=True):
                noisy = part if WORK.record else part + NOISE * CLIP * torch.randn_like(part)
                weight.copy_(first + noisy / WORK.cohort)

    def _losses(self, model: nn.Module, batch: Examples) -> Tensor:
        outputs = model(*batch.inputs)
        return nn.functional.cross_entropy(outputs, batch.targets, reduction="none")

    def _epoch(self, site: Examples) -> None:
        optimizer = torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE)
        for rows in torch.randperm(WORK.each, device=self._device).split(WORK.batch):
            optimizer.zero_grad(set_to_none=True)
            self._losses(self._model, site.select(rows)).mean().backward()
            optimizer.step()

    def _private_epoch(self, site: Examples) -> None:
        """Opacus as its users have it: hooks, its optimizer, Poisson batches."""
        model = GradSampleModule(self._model)
        optimizer = DPOptimizer(
            torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE),
            noise_multiplier=NOISE, max_grad_norm=CLIP, expected_batch_size=WORK.batch,
        )  # fmt: skip
        for _ in range(WORK.each // WORK.batch):
            drawn = torch.nonzero(
                torch.rand(WORK.each, device=self._device) < WORK.batch / WORK.each
            ).flatten()
            if not len(drawn):
                continue
            optimizer.zero_grad(set_to_none=True)
            self._losses(model, site.select(drawn)).mean().backward()
            optimizer.step()
        model.remove_hooks()
        for weight in self._model.parameters():
            for name in ("grad_sample", "summed_grad"):
                if hasattr(weight, name):
                    delattr(weight, name)


def settings(rounds: int, engine: str, device: str) -> dict[str, Scalar]:
    """The run's."""
    found: dict[str, Scalar] = {
        "task": "__main__:RandomImages", "rounds": rounds, "runtime.engine": engine,
        "population.size": WORK.clients, "population.examples_per_client": WORK.each,
        "cohort.sample_rate": WORK.cohort / WORK.clients,
        "training.batch_size": WORK.batch, "training.learning_rate": LEARNING_RATE,
        "training.steps": 0, "training.epochs": 1,
        "privacy.unit": "client", "privacy.clipping_norm": CLIP,
        "privacy.noise_multiplier": NOISE, "privacy.epsilon_budget": 1000.0,
        "runtime.evaluate_every": rounds, "runtime.device": device, "audit.canaries": 0,
        "output.tensorboard": False,
    }  # fmt: skip
    if WORK.record:
        steps = WORK.each // WORK.batch
        found |= {
            "privacy.unit": "record", "training.epochs": 0, "training.steps": steps,
            "training.sample_rate": WORK.batch / WORK.each,
        }  # fmt: skip
    return found


def main() -> None:
    """Print each round and one JSON line with medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--skip", type=int, default=2, help="rounds that warm up")
    given = parser.parse_args()
    global WORK  # noqa: PLW0603 - the task is built from it by name
    WORK = WORKS[given.work]
    torch.set_num_threads(1)
    pair = Pair(torch.device(given.device))
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(pair)
    with tempfile.TemporaryDirectory() as folder:
        own = settings(given.rounds, given.engine, given.device)
        simulate(own | {"runtime.autocast": given.autocast, "output.dir": folder})
    kept = {name: seconds[given.skip :] for name, seconds in pair.seconds.items()}
    medians = {name: statistics.median(seconds) for name, seconds in kept.items()}
    bare = min(value for name, value in medians.items() if name != "murmura")
    print(json.dumps({
        "work": given.work, "engine": given.engine, "device": given.device,
        "rounds": len(kept["murmura"]), "torch": torch.__version__,
        "medians_s": {name: round(value, 5) for name, value in medians.items()},
        "least_s": {name: round(min(seconds), 5) for name, seconds in kept.items()},
        "most_s": {name: round(max(seconds), 5) for name, seconds in kept.items()},
        "best_bare_over_murmura": round(bare / medians["murmura"], 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
