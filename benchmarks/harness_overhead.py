"""Seconds a round of the in-process grid against a bare torch loop doing the same gradient steps.

    python benchmarks/harness_overhead.py --rounds 8

1,000 clients of 50 images, cohort 50 (Poisson), batch 10, one local epoch, client-level privacy,
the CNN of 421,642 parameters; one torch thread. Paired: after each round of the federation the bare
loop trains as many clients in the same process. Images are random: no step depends on them.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from server.progress import RoundFinished
from shared.task import Examples, TaskSettings
from shared.tasks.image_classification import ImageClassification, Pool, cnn
from simulations.federation import simulate

CLIENTS, EACH, BATCH, RATE = 1000, 50, 10, 0.05
CLIP, NOISE, LEARNING_RATE = 1.0, 1.0, 0.05


class RandomImages(ImageClassification):
    """50,000 images of noise, and 100 to measure on."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        generator = torch.Generator().manual_seed(0)

        def images(count: int) -> Examples:
            pixels = torch.rand(count, 1, 28, 28, generator=generator)
            return Examples((pixels,), torch.randint(0, 10, (count,), generator=generator))

        self._images = images(CLIENTS * EACH), images(100)

    def pool(self) -> Pool:
        """The images."""
        return self._images


class Pair(logging.Handler):
    """After each round of the federation, the bare loop for as many clients."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[tuple[float, float]] = []
        self._model = cnn()
        images = RandomImages(TaskSettings(model="cnn")).pool()[0]
        self._site = images.select(torch.arange(EACH))

    def emit(self, record: logging.LogRecord) -> None:
        """Time the bare loop."""
        event = getattr(record, "progress", None)
        if isinstance(event, RoundFinished):
            start = time.perf_counter()
            self._round(event.answered)
            bare = time.perf_counter() - start
            self.seconds.append((event.seconds, bare))
            print(
                f"round {event.round_number}: {event.answered} clients, grid "
                f"{event.seconds:.3f} s, bare {bare:.3f} s, ratio {event.seconds / bare:.3f}"
            )

    def _round(self, clients: int) -> None:
        weights = list(self._model.parameters())
        start = [weight.detach().clone() for weight in weights]
        total = [torch.zeros_like(weight) for weight in weights]
        for _ in range(clients):
            with torch.no_grad():
                for weight, first in zip(weights, start, strict=True):
                    weight.copy_(first)
            self._epoch(self._site)
            with torch.no_grad():
                update = [w - first for w, first in zip(weights, start, strict=True)]
                norm = torch.stack([part.norm() for part in update]).norm()
                scale = float((CLIP / norm).clamp(max=1.0))
                for part, own in zip(total, update, strict=True):
                    part.add_(own, alpha=scale)
        with torch.no_grad():
            for weight, first, part in zip(weights, start, total, strict=True):
                noisy = part + NOISE * CLIP * torch.randn_like(part)
                weight.copy_(first + noisy / (RATE * CLIENTS))

    def _epoch(self, site: Examples) -> None:
        optimizer = torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE)
        for rows in torch.randperm(EACH).split(BATCH):
            batch = site.select(rows)
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(self._model(*batch.inputs), batch.targets).backward()
            optimizer.step()


def main() -> None:
    """Print each pair and one JSON line with the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    pair = Pair()
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(pair)
    with tempfile.TemporaryDirectory() as folder:
        simulate({
            "task": "__main__:RandomImages", "model": "cnn", "rounds": rounds,
            "population.size": CLIENTS, "population.examples_per_client": EACH,
            "cohort.sample_rate": RATE, "training.steps": 0, "training.epochs": 1,
            "training.batch_size": BATCH, "training.learning_rate": LEARNING_RATE,
            "privacy.unit": "client", "privacy.clipping_norm": CLIP,
            "privacy.noise_multiplier": NOISE, "privacy.epsilon_budget": 1000.0,
            "runtime.evaluate_every": rounds, "runtime.device": "cpu",
            "output.dir": str(Path(folder)), "output.tensorboard": False,
        })  # fmt: skip
    measured = pair.seconds[1:-1] or pair.seconds  # the first warms up, the last evaluates
    ratios = sorted(grid / bare for grid, bare in measured)
    print(json.dumps({
        "pairs": len(measured),
        "grid_seconds_median": round(statistics.median(g for g, _ in measured), 3),
        "bare_seconds_median": round(statistics.median(b for _, b in measured), 3),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
