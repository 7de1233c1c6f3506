"""The part of a model that the server trains by itself after each step: a GAN's generator.

Source: Augenstein et al. 2020, "Generative models for effective ML on private, decentralized
datasets" (arXiv:1911.06679), Algorithm 1: discriminators at the clients, the generator here.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from server.at_rest import AtRest, whole
from shared.config import RunConfig
from shared.device import choose_device
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError
from shared.parameters import FlatVector, flatten, load
from shared.task import Task
from shared.task_options import TrainsAtServer


class OwnPart:
    """Nothing changes where the task has no such part.

    Args:
        task: Whose model.
        config: Device and threads.

    Raises:
        ConfigurationError: no parameter is of the part, or all are; or some stay at clients.
    """

    def __init__(self, task: Task, config: RunConfig) -> None:
        self._task = task if isinstance(task, TrainsAtServer) else None
        if self._task is None:
            return
        if config.training.local_layers:
            raise ConfigurationError(
                "training.local_layers must be empty where the server trains a part of the model, "
                f"got {config.training.local_layers!r}"
            )
        runtime = config.runtime
        self._threads = runtime.torch_threads
        self._steps = max(1, config.training.steps)
        self._device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        with torch.random.fork_rng(devices=[]):
            self._model = task.build_model().to(self._device).train()
        self._own: NDArray[np.bool_] = np.concatenate(
            [
                np.full(weight.numel(), name.startswith(self._task.server_part))
                for name, weight in self._model.named_parameters()
                if weight.requires_grad
            ]
        )
        if self._own.all() or not self._own.any():
            raise ConfigurationError(
                f"expected some trainable parameters named {self._task.server_part}..., and some "
                f"others for the clients, got {int(self._own.sum())} of {len(self._own)}"
            )

    @property
    def there(self) -> bool:
        """Whether the task has such a part."""
        return self._task is not None

    def stepped(
        self, before: FlatVector | AtRest, after: FlatVector, stream: Callable[[], RandomStream]
    ) -> FlatVector:
        """`after`, and the server's part trained from where it was in `before`.

        Args:
            before: Parameters that the round began with, shape (d,).
            after: Those of the optimizer's step.
            stream: Makes the stream that the part's training gets random numbers from.

        Raises:
            ConfigurationError: the part is not finite any more.
        """
        if self._task is None:
            return after
        torch.set_num_threads(self._threads)
        # Guarantee: what clients sent for this part, noise at most, moves nothing.
        moved = np.where(self._own, whole(before), after)
        load(self._model, moved)
        generator = torch.Generator().manual_seed(stream().integer())
        # Guarantee: post-processing; the task sees parameters that are noised already. What else
        # it may have changed in the model is not taken over.
        self._task.after_step(self._model, generator, steps=self._steps)
        trained = np.where(self._own, flatten(self._model), after)
        if not np.isfinite(trained).all():
            raise ConfigurationError(
                f"the training of {self._task.server_part!r} diverges: expected finite parameters, "
                "got infinity or NaN; lower its rate"
            )
        return trained
