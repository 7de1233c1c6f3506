"""What tasks over one pool of examples have in common: who holds what, and what is public."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.errors import DataError
from shared.task import Examples
from shared.tasks.pooled import Column, Pooled, named_column


@dataclass(frozen=True, slots=True)
class Pool:
    """Examples of all sites of a demonstration, or of the one site that owns a folder.

    Attributes:
        training: What sites hold.
        public: What the server may measure on; held out by a public rule, so that no site holds it.
        labels: Of each training example, shape (n,), int64: what uneven splits are uneven in.
        columns: Whose each training example is, by the name that `population.column` takes.
    """

    training: Examples
    public: Examples
    labels: NDArray[np.int64]
    columns: Mapping[str, Column] = field(default_factory=dict)


class SharedOut(Pooled):
    """A subclass names its models and loads its pool; losses and metrics are its own.

    Args:
        settings: Model name and where the data lie.

    Raises:
        ConfigurationError: the model is not one of the task's.
    """

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {}

    def pool(self) -> Pool:
        """All examples; a subclass says from where."""
        raise NotImplementedError

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        return self.models[self.model]()

    def training(self) -> Examples:
        """What sites hold."""
        return self.pool().training

    def column(self) -> Column | None:
        """Whose each training example is, by `population.column`; None where none is named."""
        return named_column(self.settings.data_column, self.pool().columns)

    def training_labels(self) -> Tensor:
        """Label of each example of the pool, shape (n,), int64."""
        return torch.from_numpy(self.pool().labels)

    def evaluation_data(self) -> Examples:
        """The public examples.

        Raises:
            DataError: there are too few data for any to be held out.
        """
        public = self.pool().public
        if not len(public):
            raise DataError("expected data enough to hold some out for evaluation, got too few")
        return public
