"""A task that the process of a device makes by name, and trainers with one device or several."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from client.several_devices import SeveralDevices
from client.trainer import LocalTraining
from client.turn import Turn
from shared.config import RunConfig, Scalar
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.task_settings import TaskSettings
from tests.client.toy import CPU, FEATURES, Toy, mlp

KEYS: dict[str, Scalar] = {
    "task": "tests.client.device_tasks:task", "training.steps": 4, "training.batch_size": 10,
    "training.sample_rate": 0.5, "training.learning_rate": 0.5, "training.max_physical_batch": 3,
    "privacy.clipping_norm": 0.7, "privacy.noise_multiplier": 0.3, "runtime.device": "cpu,cpu",
}  # fmt: skip
SHARDED: dict[str, Scalar] = KEYS | {"model": "wide", "runtime.sharded": True}
NAMES = ("cpu", "cpu")
TURN = Turn(randomness=SeededRandomness(7), client_id="a", round_number=1, attempt=1)


def wide() -> nn.Module:
    """131 numbers in layers of more rows than devices, of an odd number, and of one."""
    return nn.Sequential(
        nn.Linear(FEATURES, 9), nn.LayerNorm(9), nn.ReLU(),
        nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 1, bias=False), nn.Linear(1, 3),
    )  # fmt: skip


def tied() -> nn.Module:
    """One weight in two layers."""
    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES))
    model[1].weight = model[0].weight
    return model


class Twice(nn.Module):
    """A parameter of its own beside its layer: no layer that book-keeping knows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(FEATURES, 3)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, inputs: Tensor) -> Tensor:
        """Twice the bias."""
        found: Tensor = self.inner(inputs) + self.bias
        return found


def dropping() -> nn.Module:
    """With dropout."""
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.5), nn.Linear(8, 3))


MODELS = {"": mlp, "wide": wide, "tied": tied, "twice": Twice, "dropping": dropping}


def task(settings: TaskSettings) -> Toy:
    """Of the model that the configuration names."""
    return Toy(MODELS[settings.model])


def several(keys: dict[str, Scalar], devices: SeveralDevices | None) -> LocalTraining:
    """A trainer, with these devices or with one; they may be of other keys that do not matter."""
    config = RunConfig.from_run_config(keys)
    plan = PrivacyPlan.from_config(config)
    return LocalTraining(config, Toy(MODELS[config.model]), plan, CPU, devices=devices)


def devices(keys: dict[str, Scalar], names: Sequence[str] = NAMES) -> SeveralDevices:
    """Of a trainer with these keys."""
    config = RunConfig.from_run_config(keys)
    return SeveralDevices(config, mechanism(keys), None, names)


def mechanism(keys: dict[str, Scalar]) -> RecordPrivacy | None:
    """Of the plan, where it clips records."""
    found = PrivacyPlan.from_config(RunConfig.from_run_config(keys)).mechanism
    return found if isinstance(found, RecordPrivacy) else None
