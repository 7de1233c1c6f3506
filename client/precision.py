"""Half precision in a forward pass, where a run asks for it.

Parameters, gradients, clips and sums stay in float32.
"""

import torch
from torch import Tensor, nn


def outputs_of(
    model: nn.Module, inputs: tuple[Tensor, ...], device: torch.device, *, half: bool
) -> Tensor:
    """What the model says of `inputs`, float32 in either case.

    Args:
        model: Called once.
        inputs: What it is called with.
        device: Where they are.
        half: Whether products may be of bfloat16, which has float32's range: nothing is scaled.
    """
    if not half:
        found: Tensor = model(*inputs)
        return found
    with torch.autocast(device.type, torch.bfloat16):
        rounded: Tensor = model(*inputs)
    return rounded.float()
