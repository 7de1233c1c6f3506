"""Which rows of each parameter a device holds, where none holds all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError


def chunks(whole: Tensor, count: int) -> list[Tensor]:
    """Rows of a parameter as torch's FSDP shares them out; the last devices may get none.

    >>> [len(rows) for rows in chunks(torch.zeros(5, 2), 4)]
    [2, 2, 1, 0]
    """
    found = list(whole.chunk(count))
    return found + [whole[:0]] * (count - len(found))


@torch.no_grad()
def put(weights: Sequence[Tensor], flat: Tensor) -> None:
    """The weights are those of the flat tensor."""
    parts = flat.split([weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.copy_(part.view(weight.shape))


def check_apart(model: nn.Module) -> None:
    """Each parameter belongs to one layer.

    Raises:
        ConfigurationError: two layers share one, which FSDP would take for two.
    """
    named = list(model.named_parameters(remove_duplicate=False))
    if len(named) > len(list(model.parameters())):
        raise ConfigurationError(
            "runtime.sharded needs a model whose layers share no parameter, got one that does"
        )
