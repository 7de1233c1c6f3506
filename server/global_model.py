"""The global parameters and the step on them; between two rounds a large model lies in a file."""

from collections.abc import Callable

import numpy as np

from server.aggregation import Vector
from server.at_rest import SMALLEST, AtRest, laid_down, room, whole
from server.checkpoint import Checkpoint, at_rest
from server.optimizer import server_optimizer
from server.own_part import OwnPart
from server.preparation import Prepared, shared_parameters
from server.run_folder import RunFolder
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.parameters import FlatVector


class GlobalModel:
    """The model of one run, and what its optimizer remembers.

    Args:
        config: The run's configuration.
        plan: Its privacy plan.
        prepared: Its task and initial model.
        folder: Where its checkpoint is, and where a large model lies.

    Attributes:
        dimension: Length d of the parameters.
    """

    def __init__(
        self, config: RunConfig, plan: PrivacyPlan, prepared: Prepared, folder: RunFolder
    ) -> None:
        first = shared_parameters(prepared.model, config)
        self._folder, self.dimension = folder, len(first)
        self._parameters: FlatVector | AtRest = first
        self._optimizer = server_optimizer(config, plan, self.dimension)
        self._own_part = OwnPart(prepared.task, config)
        # What a simulation has in its folder may not be on disk yet, and it has the memory.
        self._rests = folder.synced and first.nbytes >= SMALLEST

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Take up what a checkpoint of the folder holds, if there is one.

        Raises:
            StateError: it is of another optimizer or dimension, or the folder cannot be written.
        """
        if checkpoint is not None:
            self._parameters = checkpoint.parameters
            self._optimizer.restore(checkpoint.optimizer)
            self.rest()
        elif self._rests:
            self._parameters = laid_down(whole(self._parameters), self._folder.path)

    @property
    def at_rest(self) -> FlatVector | AtRest:
        """The parameters, shape (d,), float32, wherever they lie."""
        return self._parameters

    @property
    def parameters(self) -> FlatVector:
        """The same, in memory."""
        return whole(self._parameters)

    @property
    def optimizer(self) -> dict[str, Vector | AtRest]:
        """What a checkpoint must keep of the optimizer, wherever it lies."""
        return self._optimizer.state()

    def told(self) -> FlatVector:
        """What clients are sent."""
        return self._optimizer.told(self._parameters)

    def step(self, mean: Vector, own: Callable[[], RandomStream]) -> None:
        """Move by the mean of a round's updates, which is used up.

        Args:
            mean: As `RoundSum.mean` returns it.
            own: Makes the stream of the training of the server's own part.

        Raises:
            ConfigurationError: the training diverges.
        """
        if self._rests and not self._own_part.there:
            moved = room(self.dimension, np.dtype(np.float32), self._folder.path)
            self._optimizer.step(self._parameters, mean, moved)
            self._parameters = moved
            return
        after: FlatVector = np.empty(self.dimension, dtype=np.float32)
        self._optimizer.step(self._parameters, mean, after)
        self._parameters = self._own_part.stepped(self._parameters, after, own)

    def alone(self) -> FlatVector:
        """`parameters`, for a measurement: what the optimizer remembers makes room for it."""
        if self._rests:
            self._optimizer.rest({
                name: laid_down(vector, self._folder.path)
                for name, vector in self._optimizer.state().items()
                if not isinstance(vector, AtRest)
            })  # fmt: skip
        return self.parameters

    def rest(self) -> None:
        """All of it is in the folder's checkpoint: a large model stays there until it moves."""
        if self._rests:
            self._parameters, memory = at_rest(self._folder)
            self._optimizer.rest(memory)
