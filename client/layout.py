"""How images lie in memory: channels last where a model convolves, which is several times faster.

Only the order in memory changes, never a value or the order of parameters in a flat vector.
"""

import torch
from torch import Tensor, nn

from shared.task import Examples

_PLANE = 4  # axes of a batch of images


def convolves(model: nn.Module) -> bool:
    """Whether the model has convolutions over images."""
    return any(isinstance(layer, nn.Conv2d) for layer in model.modules())


def channels_last(examples: Examples) -> Examples:
    """The same examples, images laid out channels last."""
    return _laid_out(examples, torch.channels_last)


def as_usual(examples: Examples) -> Examples:
    """The same examples, everything contiguous."""
    return _laid_out(examples, torch.contiguous_format)


def _laid_out(examples: Examples, order: torch.memory_format) -> Examples:
    def laid(tensor: Tensor) -> Tensor:
        if tensor.dim() != _PLANE:
            return tensor
        return tensor.contiguous(memory_format=order)

    return Examples(tuple(laid(tensor) for tensor in examples.inputs), examples.targets)
