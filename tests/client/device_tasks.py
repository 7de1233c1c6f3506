"""Tasks that the process of a device can make by name, and trainers that share a batch."""

import os
import signal

import torch
from torch import Tensor, nn

from client.several_devices import SeveralDevices
from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.task import Task
from shared.task_settings import TaskSettings
from shared.tasks import load_task, task_settings
from tests.client.toy import CPU, FEATURES, Toy, cross_entropy


def toy(settings: TaskSettings) -> Toy:
    """Of the model that the configuration names."""
    return Toy(MODELS[settings.model or "mlp"], LOSSES.get(settings.model, cross_entropy))


def wide() -> nn.Module:
    """Layers of more rows than devices, of fewer, and of a number that none divides."""
    return nn.Sequential(
        nn.Linear(FEATURES, 13), nn.LayerNorm(13), nn.ReLU(inplace=True),
        nn.Linear(13, 7), nn.Tanh(), nn.Linear(7, 3, bias=False), nn.Linear(3, 3),
    )  # fmt: skip
