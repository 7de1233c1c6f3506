"""Measures the global model on public data, never on a client's."""

import torch

from shared.config import RunConfig
from shared.device import choose_device
from shared.measuring import Measurement, measure
from shared.normalisation import Normalisation
from shared.parameters import FlatVector, load
from shared.task import Task

__all__ = ["Evaluator", "Measurement"]


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

    def measure(self, parameters: FlatVector) -> Measurement:
        """Mean loss and metrics of `parameters`, shape (d,), in evaluation mode."""
        torch.set_num_threads(self._threads)
        load(self._model, parameters)
        return measure(self._task, self._model, self._examples)
