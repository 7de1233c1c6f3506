"""One loss for each record of a batch, whoever computes it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from client.precision import outputs_of
from shared.errors import PrivacyError
from shared.task import Examples, Task

Losses = Callable[[nn.Module, Examples], Tensor]


def losses_of(task: Task, device: torch.device, *, half: bool) -> Losses:
    """A model and a batch -> one loss per record, shape (n,).

    Args:
        task: Says what a loss is.
        device: Where model and batch are.
        half: As `client.precision.outputs_of` has it.

    What is returned raises PrivacyError where the task's losses are of another shape.
    """

    def losses(model: nn.Module, batch: Examples) -> Tensor:
        outputs = outputs_of(model, batch.inputs, device, half=half)
        found = task.losses(outputs, batch.targets)
        # Guarantee: the mean loss of a batch would scale each example's gradient by how many
        # others were drawn, before the clip could bound it.
        if found.shape != (len(batch),):
            raise PrivacyError(
                f"expected one loss per example, shape ({len(batch)},), got {tuple(found.shape)}"
            )
        return found

    return losses
