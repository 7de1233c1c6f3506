"""A tiny task, and a trainer for it, whose results can be worked out by hand."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, SeededRandomness
from shared.parameters import FlatVector
from shared.task import Examples, Site

FEATURES, CLASSES = 6, 3
CPU = torch.device("cpu")


def mlp() -> nn.Module:
    """6-5-3 with tanh: 53 parameters."""
    return nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES))


def point() -> nn.Module:
    """A vector of 3 weights: the output for the input 1."""
    return nn.Linear(1, 3, bias=False)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of each example."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """½‖output − target‖² of each example; its gradient is the difference."""
    return 0.5 * (outputs - targets).square().sum(1)


class Toy:
    """A task of any model and losses."""

    def __init__(
        self,
        model: Callable[[], nn.Module] = mlp,
        losses: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    ) -> None:
        self.build_model = model
        self.losses = losses

    def site_data(self, site: Site) -> Examples:
        """Not a part of these tests."""
        raise NotImplementedError(site)

    def evaluation_data(self) -> Examples:
        """Not a part of these tests."""
        raise NotImplementedError

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Not a part of these tests."""
        raise NotImplementedError(outputs, targets)


def examples(count: int, seed: int = 1) -> Examples:
    """`count` normal inputs with labels."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, FEATURES, generator=generator)
    return Examples((inputs,), torch.randint(CLASSES, (count,), generator=generator))


def points(*targets: tuple[float, float, float]) -> Examples:
    """Examples of the task (`point`, `half_square`)."""
    return Examples((torch.ones(len(targets), 1),), torch.tensor(targets).reshape(-1, 3))


def start(count: int = 53, seed: int = 0) -> FlatVector:
    """Global parameters."""
    return (0.3 * np.random.default_rng(seed).normal(size=count)).astype(np.float32)


def training(keys: dict[str, Scalar], task: Toy | None = None) -> LocalTraining:
    """A trainer on the CPU for this run config."""
    config = RunConfig.from_run_config(keys)
    return LocalTraining(config, task or Toy(), PrivacyPlan.from_config(config), CPU)


def updated(
    trainer: LocalTraining,
    data: Examples,
    *,
    parameters: FlatVector | None = None,
    client_id: str = "site-000000",
    randomness: Randomness | None = None,
) -> FlatVector:
    """The update of round 1, attempt 1, seeded with 7."""
    found = trainer.update(
        start() if parameters is None else parameters,
        data,
        randomness=randomness or SeededRandomness(7),
        round_number=1,
        attempt=1,
        client_id=client_id,
    )
    return found.astype(np.float32, copy=False)


def silence(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Replace the noise by zeros; returns the list of (count, stddev) that were asked for."""
    asked: list[tuple[int, float]] = []

    def zeros(count: int, stddev: float, *, stream: object) -> NDArray[np.float64]:
        del stream
        asked.append((count, stddev))
        return np.zeros(count)

    monkeypatch.setattr("client.dp_optimizer.gaussian_noise", zeros)
    return asked
