"""Measures the global model on public data, never on a client's."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from shared.config import RunConfig
from shared.device import choose_device
from shared.normalisation import Normalisation
from shared.parameters import FlatVector, load
from shared.task import Task

_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Means over the public evaluation examples; `accuracy` is None for tasks without one."""

    loss: float
    metrics: dict[str, float]

    @property
    def accuracy(self) -> float | None:
        """The metric of that name, if it is a number."""
        value = self.metrics.get("accuracy", math.nan)
        return value if math.isfinite(value) else None


class Evaluator:
    """Keeps the model and the public examples on the device.

    Args:
        task: Model, losses and public examples.
        config: Device and threads.
    """

    def __init__(self, task: Task, config: RunConfig) -> None:
        runtime = config.runtime
        device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        self._task = task
        self._threads = runtime.torch_threads
        self._public = self._examples = task.evaluation_data().to(device)
        with torch.random.fork_rng(devices=[]):
            self._model = task.build_model().to(device).eval()

    def normalise(self, normalisation: Normalisation | None) -> None:
        """Measure on inputs as the sites train on them."""
        if normalisation is not None:
            self._examples = normalisation.apply(self._public)

    @torch.no_grad()
    def measure(self, parameters: FlatVector) -> Measurement:
        """Mean loss and metrics of `parameters`, shape (d,), in evaluation mode."""
        torch.set_num_threads(self._threads)
        load(self._model, parameters)
        loss, sums = 0.0, dict[str, float]()
        for part in self._examples.chunks(_CHUNK):
            outputs = self._model(*part.inputs)
            loss += _sum(self._task.losses(outputs, part.targets))
            for name, values in self._task.metrics(outputs, part.targets).items():
                sums[name] = sums.get(name, 0.0) + _sum(values)
        count = len(self._examples)
        return Measurement(
            loss=loss / count, metrics={name: value / count for name, value in sums.items()}
        )


def _sum(values: Tensor) -> float:
    # On the CPU: not every device has double precision.
    return float(values.detach().cpu().double().sum())
