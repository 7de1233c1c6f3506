"""A task of two parameters, and configurations of runs over it that take milliseconds."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.task import Examples, Site, TaskSettings

TASK = "tests.server.toy:Toy"
DIMENSION = 2


class Toy:
    """A line through four points: weight and bias."""

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    def build_model(self) -> nn.Module:
        """Two parameters, from torch's global generator."""
        return nn.Linear(1, 1)

    def site_data(self, site: Site) -> Examples:
        """Nobody's: the clients of these tests only pretend."""
        raise NotImplementedError

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared errors."""
        return (outputs - targets).square().sum(1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether the sign is right, as an accuracy."""
        return {"accuracy": (outputs.sign() == targets.sign()).float().squeeze(1)}

    def evaluation_data(self) -> Examples:
        """y = 2x at four points."""
        x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        return Examples((x,), 2.0 * x)


class Mixing(Toy):
    """A model that no unit of privacy can be promised for."""

    def build_model(self) -> nn.Module:
        """Batch norm mixes examples."""
        return nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))


class Drifting(Toy):
    """A model with a frozen part that is another one on every node."""

    def build_model(self) -> nn.Module:
        """The first layer is random, and does not travel."""
        frozen = nn.Linear(1, 1).requires_grad_(requires_grad=False)
        return nn.Sequential(frozen, nn.Linear(1, 1))


class Unmeasured(Toy):
    """A task without an accuracy."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """None."""
        del outputs, targets
        return {}


def settings(folder: Path, changes: Mapping[str, Scalar] | None = None) -> dict[str, Scalar]:
    """A seeded run of two rounds over three clients at client level, everybody asked."""
    flat: dict[str, Scalar] = {
        "task": TASK,
        "rounds": 2,
        "seed": 5,
        "population.size": 3,
        "cohort.timeout_s": 0.2,
        "privacy.unit": "client",
        "privacy.clipping_norm": 1.0,
        "privacy.noise_multiplier": 1.0,
        "privacy.epsilon_budget": 1000.0,
        "runtime.device": "cpu",
        "output.dir": str(folder),
        "output.run_id": "toy",
        "output.tensorboard": False,
    }
    return flat | dict(changes or {})


def config(folder: Path, changes: Mapping[str, Scalar] | None = None) -> RunConfig:
    """`settings` as a configuration."""
    return RunConfig.from_run_config(settings(folder, changes))


def plan(changes: Mapping[str, Scalar] | None = None) -> PrivacyPlan:
    """The plan of such a run."""
    return PrivacyPlan.from_config(config(Path(), changes))
