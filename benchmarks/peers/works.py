"""What is compared: models, clients, cohorts. Needs torch alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CLIP, NOISE, LEARNING_RATE = 1.0, 1.0, 0.05


def cnn() -> nn.Module:
    """421,642 parameters; the "cnn" of shared/tasks/image_classification.py."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def mlp() -> nn.Module:
    """784-64-10: 50,890 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Work:
    """One comparison: clients of `each` images, a mean cohort, one local epoch, clipped updates."""

    model: Callable[[], nn.Module]
    clients: int
    each: int
    batch: int
    cohort: int


WORKS = {"cnn": Work(cnn, 1000, 50, 10, 50), "mlp": Work(mlp, 5000, 10, 10, 100)}


def images(work: Work) -> tuple[Tensor, Tensor]:
    """Pixels (clients, each, 1, 28, 28) and labels (clients, each): noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(work.clients, work.each, 1, 28, 28, generator=generator)
    return pixels, torch.randint(0, 10, (work.clients, work.each), generator=generator)
