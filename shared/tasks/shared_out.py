"""What tasks over one pool of examples have in common: who holds what, and what is public."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError
from shared.partition import PartitionSpec, Parts, partition
from shared.task import Examples, Site, TaskSettings

Column = NDArray[np.generic]  # (n,), one value for each training example


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


class SharedOut:
    """A subclass names its models and loads its pool; losses and metrics are its own.

    Args:
        settings: Model name and where the data lie.

    Raises:
        ConfigurationError: the model is not one of the task's.
    """

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {}

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings
        self._model = settings.model or next(iter(self.models))
        if self._model not in self.models:
            raise ConfigurationError(
                f"model must be one of {', '.join(self.models)}, got {self._model!r}"
            )
        self._parts = lru_cache(maxsize=4)(self._compute_parts)

    def pool(self) -> Pool:
        """All examples; a subclass says from where."""
        raise NotImplementedError

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        return self.models[self._model]()

    def site_data(self, site: Site) -> Examples:
        """The site's part of the pool, as copies; all that is for training where it owns all."""
        training = self.pool().training
        # Copies, for the pool is one object that all sites of a process read.
        if site.partition is None:
            return training.select(torch.arange(len(training)))
        return training.select(torch.from_numpy(self.parts(site.partition)[site.index]))

    def parts(self, spec: PartitionSpec) -> Parts:
        """Which examples of the pool each site holds; computed once."""
        return self._parts(spec)

    def _compute_parts(self, spec: PartitionSpec) -> Parts:
        return partition(self.pool().labels, spec, column=self.column())

    def column(self) -> Column | None:
        """Whose each training example is, by `population.column`; None where none is named."""
        name, columns = self.settings.data_column, self.pool().columns
        if not name:
            return None
        if name not in columns:
            raise ConfigurationError(
                f"population.column must be one of {', '.join(columns)}, got {name!r}"
            )
        return columns[name]

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
