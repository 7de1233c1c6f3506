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
        tensor = tensor.contiguous(memory_format=order)
        # Guarantee: images of one channel lie both ways at once, and torch, which goes by strides,
        # takes them for what they were before: so pooling would be slow, or Opacus, which gets
        # channels last wrong, would meet it.
        return tensor.as_strided(tensor.shape, _strides(tensor.shape, order))

    return Examples(tuple(laid(tensor) for tensor in examples.inputs), examples.targets)


def _strides(shape: torch.Size, order: torch.memory_format) -> tuple[int, ...]:
    _, channels, high, wide = shape
    whole = channels * high * wide
    if order == torch.channels_last:
        return whole, 1, wide * channels, channels
    return whole, high * wide, wide, 1
