"""Model parameters <-> one flat float32 vector, and the layout that undoes it.

Only trainable parameters travel; a model with buffers is refused (`shared.model_check`), since a
buffer such as a running mean is a statistic of private data that no noise protects.
"""

import numpy as np
import torch
from torch import nn

from shared.errors import MessageError
from shared.vectors import FlatVector

__all__ = ["FlatVector", "dimension", "flatten", "load", "trainable"]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained, in the model's own order, shared ones once."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def dimension(model: nn.Module) -> int:
    """Number d of trainable numbers in `model`."""
    return sum(parameter.numel() for parameter in trainable(model))


@torch.no_grad()
def flatten(model: nn.Module) -> FlatVector:
    """A copy of the model's trainable parameters, shape (d,), float32, on the CPU."""
    parts = [parameter.detach().reshape(-1).float().cpu() for parameter in trainable(model)]
    if not parts:
        return np.zeros(0, dtype=np.float32)
    flat: FlatVector = torch.cat(parts).numpy()
    return flat


@torch.no_grad()
def load(model: nn.Module, vector: FlatVector) -> None:
    """Overwrite every trainable parameter of `model` with `vector`.

    Args:
        model: Changed in place; dtype and device of each parameter are kept.
        vector: Shape (d,), float32.

    Raises:
        MessageError: `vector` does not have d elements.
    """
    if vector.shape != (dimension(model),):
        raise MessageError(f"parameters must have shape ({dimension(model)},), got {vector.shape}")
    source = torch.from_numpy(np.array(vector, dtype=np.float32))
    offset = 0
    for parameter in trainable(model):
        chunk = source[offset : offset + parameter.numel()]
        parameter.copy_(chunk.view_as(parameter))
        offset += parameter.numel()
