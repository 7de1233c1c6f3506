"""The Task protocol: model, the data of one site, loss, metrics, public evaluation data.

A user brings a model and data of his own in one file: a callable `TaskSettings -> Task`, named in
the configuration as `module:object` (see docs/own-task.md). Built-in tasks are the same thing,
looked up by name in `shared.tasks`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from shared.errors import DataError
from shared.task_settings import Site, TaskSettings

__all__ = ["Examples", "PooledTask", "Site", "Task", "TaskFactory", "TaskSettings"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples of one site, or the public evaluation set, as tensors of equal length.

    Attributes:
        inputs: What the model is called with, each of shape (n, ...).
        targets: Shape (n, ...).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __post_init__(self) -> None:
        """Refuse tensors of different lengths."""
        # By the shape: a tensor's own length takes ten times as long, for each client of a cohort.
        count = self.targets.shape[0]
        if any(tensor.shape[0] != count for tensor in self.inputs):
            lengths = {len(tensor) for tensor in (*self.inputs, self.targets)}
            raise DataError(f"inputs and targets must have one length, got {sorted(lengths)}")

    def __len__(self) -> int:
        """Number of examples."""
        return self.targets.shape[0]

    def select(self, rows: Tensor) -> "Examples":
        """The examples at `rows` (int64 indices), in that order; may be none."""
        return Examples(
            tuple(_rows(tensor, rows) for tensor in self.inputs), _rows(self.targets, rows)
        )

    def to(self, device: torch.device) -> "Examples":
        """The same examples on `device`; pinned and asynchronous where it is a GPU."""
        if device.type == "cpu":
            return self
        gpu = device.type == "cuda"

        def move(tensor: Tensor) -> Tensor:
            pinned = tensor.pin_memory() if gpu and not tensor.is_cuda else tensor
            return pinned.to(device, non_blocking=gpu)

        return Examples(tuple(move(tensor) for tensor in self.inputs), move(self.targets))

    def chunks(self, size: int) -> Iterator["Examples"]:
        """The examples in order, at most `size` at a time; nothing for no examples."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield Examples(tuple(tensor[rows] for tensor in self.inputs), self.targets[rows])


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """`tensor[rows]`, at half the cost where the layout of memory has nothing to lose."""
    return tensor.index_select(0, rows) if tensor.is_contiguous() else tensor[rows]


class Task(Protocol):
    """What is learnt. Every method must be deterministic given its inputs."""

    def build_model(self) -> nn.Module:
        """A fresh model; its random initialisation comes from torch's global generator."""

    def site_data(self, site: Site) -> Examples:
        """The private examples of one site. Raises DataError if they are missing or corrupt."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """One loss per example, shape (n,); example i's depends on row i only."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Scores per example, each of shape (n,), averaged by the caller: {"accuracy": 0/1}."""

    def evaluation_data(self) -> Examples:
        """Public examples on which the server may measure, never those of a site."""


class PooledTask(Task, Protocol):
    """A task whose demonstration data are one pool that can be shared out; for plots and tools."""

    def training_labels(self) -> Tensor:
        """Label of each example of the pool, shape (n,), int64."""


class TaskFactory(Protocol):
    """What `module:object` must name."""

    def __call__(self, settings: TaskSettings) -> Task:
        """Build the task; may be called once in each process."""
