"""Where a model rectifies and then takes a maximum, it may do so the other way round, for less.

max(ReLU(x)) = ReLU(max(x)), and the gradient goes to the same number: of positive ones ReLU keeps
which is the first of the largest, and where there is none nothing goes back. So values, gradients
and the bits of both are the same, and ReLU meets a quarter of the numbers where pooling is by two.
"""

from itertools import pairwise

from torch import nn

_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def pool_first(model: nn.Module) -> None:
    """Each ReLU right before a maximum goes behind it; parameters keep their names and order.

    Of sequences within sequences alone, from the model itself down: what calls its layers in a way
    of its own may take a part of them. Layers that somebody hooked stay where they are.

    Args:
        model: Changed in place.
    """
    if type(model) is not nn.Sequential:
        return
    for layer in model:
        pool_first(layer)
    for before, after in pairwise(range(len(model))):
        if _changes_places(model[before], model[after]):
            model[before], model[after] = model[after], model[before]


def _changes_places(first: nn.Module, second: nn.Module) -> bool:
    if type(first) is not nn.ReLU or type(second) not in _POOLS:
        return False
    return not (second.return_indices or _hooked(first) or _hooked(second))


def _hooked(layer: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(vars(layer)[kind] for kind in kinds)  # torch has no other way to ask
