"""Measures the global model on public data, never on a client's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from shared.config import RunConfig
from shared.device import choose_device
from shared.measuring import measure
from shared.normalisation import Normalisation
from shared.parameters import FlatVector, lay_aside, load, trainable
from shared.task import Task
from shared.task_options import Pictured, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the model is worth on public data; `accuracy` is None for tasks without one.

    Attributes:
        loss: Mean over the public evaluation examples.
        metrics: Means likewise, and the task's scores.
        pictures: PNG files by name.
    """

    loss: float
    metrics: dict[str, float]
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)

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
        self._local_layers = config.training.local_layers
        self._threads = runtime.torch_threads
        self._public = self._examples = task.evaluation_data().to(device)
        with torch.random.fork_rng(devices=[]):
            self._model = task.build_model().to(device).eval()
        lay_aside(trainable(self._model))

    @property
    def whole(self) -> bool:
        """Whether the server has all of the model; without the local layers it measures nothing."""
        return not self._local_layers

    def normalise(self, normalisation: Normalisation | None) -> None:
        """Measure on inputs as the sites train on them."""
        if normalisation is not None:
            self._examples = normalisation.apply(self._public)

    @torch.no_grad()
    def measure(self, parameters: FlatVector) -> Measurement:
        """Mean loss and metrics of `parameters`, shape (d,), in evaluation mode.

        Where layers stay at the clients: no number, since the server knows none of their models.
        """
        if not self.whole:
            return Measurement(loss=math.nan, metrics={})
        torch.set_num_threads(self._threads)
        load(self._model, parameters)
        task, means = self._task, measure(self._task, self._model, self._examples)
        scores = task.scores(self._model) if isinstance(task, Scored) else {}
        found = Measurement(
            loss=means.loss,
            metrics=means.metrics | dict(scores),
            pictures=task.pictures(self._model) if isinstance(task, Pictured) else {},
        )
        lay_aside(trainable(self._model))
        return found
