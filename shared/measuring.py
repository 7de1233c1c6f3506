"""Mean loss and metrics of a model over examples; whose they are is the caller's matter.

The same numbers as the server's measurement during a run, from the same examples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.errors import DataError
from shared.task import Examples, Task

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Means:
    """Of losses and of each metric over examples."""

    loss: float
    metrics: dict[str, float]


@torch.no_grad()
def measure(task: Task, model: nn.Module, examples: Examples) -> Means:
    """Means over all examples, whatever chunks they are computed in.

    Args:
        task: Losses and metrics.
        model: In evaluation mode, on the examples' device.
        examples: Normalised as the model was trained.

    Raises:
        DataError: there is no example.
    """
    if not len(examples):
        raise DataError("expected examples to measure on, got none")
    loss, sums = 0.0, dict[str, float]()
    for part in examples.chunks(_CHUNK):
        outputs = model(*part.inputs)
        loss += _sum(task.losses(outputs, part.targets))
        for name, values in task.metrics(outputs, part.targets).items():
            sums[name] = sums.get(name, 0.0) + _sum(values)
    count = len(examples)
    return Means(loss / count, {name: value / count for name, value in sums.items()})


@torch.no_grad()
def outputs_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """The model's outputs for all rows of `inputs`, in their order, on the CPU."""
    starts = range(0, len(inputs[0]), _CHUNK)
    return torch.cat([model(*(t[s : s + _CHUNK] for t in inputs)).cpu() for s in starts])


def _sum(values: Tensor) -> float:
    # On the CPU: not every device has double precision.
    return float(values.detach().cpu().double().sum())
