"""What tasks on tables share: one pool of rows that a demonstration shares out among its sites."""

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.partition import PartitionSpec, Parts, partition
from shared.task import Examples, Site, TaskSettings

_HIDDEN = 32


class TablePool:
    """A task whose private examples are `training()`; a subclass says what they are.

    Args:
        settings: Model name and where the data lie.

    Raises:
        ConfigurationError: the model is not one of the task's.
    """

    models: ClassVar[tuple[str, ...]]

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings
        self.model = settings.model or self.models[0]
        if self.model not in self.models:
            raise ConfigurationError(
                f"model must be one of {', '.join(self.models)}, got {self.model!r}"
            )
        self._parts = lru_cache(maxsize=4)(self._compute_parts)

    def training(self) -> Examples:
        """All private examples of this node, or of a demonstration."""
        raise NotImplementedError

    def column(self) -> NDArray[np.generic] | None:
        """Whose each training example is, for the natural split; None where nobody can tell."""
        return None

    def site_data(self, site: Site) -> Examples:
        """The site's part of the pool, as copies; the whole pool where it owns all."""
        training = self.training()
        if site.partition is None:
            return training.select(torch.arange(len(training)))
        return training.select(torch.from_numpy(self._parts(site.partition)[site.index]))

    def training_labels(self) -> Tensor:
        """Label of each example of the pool, shape (n,), int64."""
        return self.training().targets

    def _compute_parts(self, spec: PartitionSpec) -> Parts:
        return partition(self.training_labels().numpy(), spec, column=self.column())


class TableClassification(TablePool):
    """Tells the class of a row: inputs of shape (n, width), targets of shape (n,)."""

    models = ("logistic", "mlp")

    def shape(self) -> tuple[int, int]:
        """Number of inputs and of classes: public, and the same on every node."""
        raise NotImplementedError

    def build_model(self) -> nn.Module:
        """Logistic regression, or width-32-classes with tanh; its first numbers are torch's."""
        width, classes = self.shape()
        if self.model == "logistic":
            return nn.Sequential(nn.Linear(width, classes))
        return nn.Sequential(nn.Linear(width, _HIDDEN), nn.Tanh(), nn.Linear(_HIDDEN, classes))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each row, shape (n,)."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether each row's largest output is its class, 0 or 1, shape (n,)."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}
