"""Model parameters <-> one flat float32 vector, and the layout that undoes it.

Only trainable parameters travel; a model with buffers is refused (`shared.model_check`), since a
buffer such as a running mean is a statistic of private data that no noise protects.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from shared.errors import MessageError
from shared.vectors import FlatVector

__all__ = [
    "FlatVector",
    "dimension",
    "fill",
    "flatten",
    "flattened",
    "lay_aside",
    "load",
    "trainable",
]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained, in the model's own order, shared ones once."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def dimension(model: nn.Module) -> int:
    """Number d of trainable numbers in `model`."""
    return sum(parameter.numel() for parameter in trainable(model))


def flatten(model: nn.Module) -> FlatVector:
    """A copy of the model's trainable parameters, shape (d,), float32, on the CPU."""
    return flattened(trainable(model))


@torch.no_grad()
def flattened(parameters: Sequence[nn.Parameter]) -> FlatVector:
    """A copy of `parameters`, one after the other, shape (d,), float32, on the CPU."""
    parts = [parameter.detach().reshape(-1).float().cpu() for parameter in parameters]
    if not parts:
        return np.zeros(0, dtype=np.float32)
    flat: FlatVector = torch.cat(parts).numpy()
    return flat


def load(model: nn.Module, vector: FlatVector) -> None:
    """Overwrite every trainable parameter of `model` with `vector`; see `fill`."""
    fill(trainable(model), vector)


@torch.no_grad()
def fill(parameters: Sequence[nn.Parameter], vector: FlatVector) -> None:
    """Overwrite `parameters` with `vector`.

    Args:
        parameters: Changed in place; dtype and device of each are kept.
        vector: Shape (d,), float32.

    Raises:
        MessageError: `vector` does not have d elements.
    """
    expected = sum(parameter.numel() for parameter in parameters)
    if vector.shape != (expected,):
        raise MessageError(f"parameters must have shape ({expected},), got {vector.shape}")
    # Torch takes no array that may not be written; of any other no copy is needed.
    source = torch.from_numpy(np.require(vector, np.float32, ("C", "W")))
    offset = 0
    for parameter in parameters:
        if _is_laid_aside(parameter):
            parameter.data = torch.empty(parameter.shape, dtype=parameter.dtype)
        chunk = source[offset : offset + parameter.numel()]
        parameter.copy_(chunk.view_as(parameter))
        offset += parameter.numel()


@torch.no_grad()
def lay_aside(parameters: Sequence[nn.Parameter]) -> None:
    """Give back the memory of `parameters` on the CPU until `fill` writes them again.

    Whatever reads them in between finds zeros.
    """
    for parameter in parameters:
        if parameter.device.type == "cpu":
            parameter.data = parameter.data.new_zeros(()).expand(parameter.shape)


def _is_laid_aside(parameter: nn.Parameter) -> bool:
    held = parameter.untyped_storage().nbytes()
    return held < parameter.numel() * parameter.element_size()
