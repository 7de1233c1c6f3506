"""What tasks over one pool of examples have in common: which model, and who holds what."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.errors import ConfigurationError
from shared.partition import PartitionSpec, Parts, partition
from shared.task import Examples, Site, TaskSettings

Column = NDArray[np.generic]  # (n,), one value for each training example


class Pooled:
    """A subclass names its models and loads `training`; the rest of a task is its own.

    Args:
        settings: Model name and where the data lie.

    Attributes:
        models: Names; the first is the default.
        model: The one that is asked for.

    Raises:
        ConfigurationError: the model is not one of the task's.
    """

    models: ClassVar[Collection[str]] = ()

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings
        self.model = settings.model or next(iter(self.models))
        if self.model not in self.models:
            raise ConfigurationError(
                f"model must be one of {', '.join(self.models)}, got {self.model!r}"
            )
        self._parts = lru_cache(maxsize=4)(self._compute_parts)

    def training(self) -> Examples:
        """All private examples: of a demonstration's sites, or of the one site that owns a folder.

        One object that all sites of a process read.
        """
        raise NotImplementedError

    def column(self) -> Column | None:
        """Whose each training example is, for the natural split; None where nobody can tell."""
        return None

    def site_data(self, site: Site) -> Examples:
        """The site's part of the pool, as copies; all that is for training where it owns all."""
        training = self.training()
        if site.partition is None:
            return training.select(torch.arange(len(training)))
        return training.select(torch.from_numpy(self.parts(site.partition)[site.index]))

    def parts(self, spec: PartitionSpec) -> Parts:
        """Which examples of the pool each site holds; computed once."""
        return self._parts(spec)

    def training_labels(self) -> Tensor:
        """Label of each example of the pool, shape (n,), int64."""
        return self.training().targets

    def _compute_parts(self, spec: PartitionSpec) -> Parts:
        return partition(self.training_labels().numpy(), spec, column=self.column())


def named_column(name: str, columns: Mapping[str, Column | Sequence[str]]) -> Column | None:
    """The column that `population.column` names; None where it names none.

    Raises:
        ConfigurationError: there is no such column.
    """
    if not name:
        return None
    if name not in columns:
        raise ConfigurationError(
            f"population.column must be one of {', '.join(columns)}, got {name!r}"
        )
    return np.asarray(columns[name])
