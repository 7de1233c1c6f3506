"""A sequence of linear layers and what acts on each number, for many clients by batched products.

The same numbers as torch.vmap over the same model but for rounding, without its cost for each call.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = Mapping[str, Tensor]  # of each name, (clients, ...)
_Called = Callable[[Weights, Tensor], Tensor]


class Batched:
    """One model.

    Args:
        model: Such as is `possible`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [_called(name, layer) for name, layer in _leaves("", model)]

    @staticmethod
    def possible(model: nn.Module) -> bool:
        """Whether it is a sequence of layers that are known, each parameter of one layer alone."""
        if type(model) is not nn.Sequential:
            return False
        sequences = [m for m in model.modules() if isinstance(m, nn.Sequential)]
        if any(len(m) != len(list(m.named_children())) for m in sequences):
            return False  # a layer is there twice, and named once
        layers = list(_leaves("", model))
        own = {f"{name}{own}" for name, layer in layers for own, _ in layer.named_parameters()}
        named = {name for name, _ in model.named_parameters()}
        return own == named and all(_known(layer) for _, layer in layers)

    def __call__(self, weights: Weights, inputs: Tensor) -> Tensor:
        """The model of each client called on its records.

        Args:
            weights: By the names of the model's parameters.
            inputs: Shape (clients, records, ...).

        Returns:
            Shape (clients, records, ...).
        """
        here = inputs
        for layer in self._layers:
            here = layer(weights, here)
        return here


def _leaves(prefix: str, model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What goes before the names of each layer's parameters, and the layer."""
    for name, layer in model.named_children():
        if type(layer) is nn.Sequential:
            yield from _leaves(f"{prefix}{name}.", layer)
        else:
            yield f"{prefix}{name}.", layer


def _known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Flatten):
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return type(layer) in {nn.Linear, nn.LayerNorm} or not list(layer.parameters())


def _called(prefix: str, layer: nn.Module) -> _Called:
    if isinstance(layer, nn.Flatten):
        return lambda _, inputs: inputs.flatten(2)
    if isinstance(layer, nn.Linear):
        return _linear(prefix, layer)
    if isinstance(layer, nn.LayerNorm):
        return _layer_norm(prefix, layer)
    return lambda _, inputs: layer(inputs)


def _linear(prefix: str, layer: nn.Linear) -> _Called:
    def called(weights: Weights, inputs: Tensor) -> Tensor:
        matrices = weights[f"{prefix}weight"].transpose(1, 2)
        flat = inputs.reshape(len(inputs), -1, layer.in_features)
        if layer.bias is None:
            found = torch.bmm(flat, matrices)
        else:
            found = torch.baddbmm(weights[f"{prefix}bias"].unsqueeze(1), flat, matrices)
        return found.view(*inputs.shape[:-1], layer.out_features)

    return called


def _layer_norm(prefix: str, layer: nn.LayerNorm) -> _Called:
    names = [f"{prefix}{name}" for name, _ in layer.named_parameters()]
    axes = len(layer.normalized_shape)

    def called(weights: Weights, inputs: Tensor) -> Tensor:
        found = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        for place, name in enumerate(names):  # a scale, and what is added
            each = weights[name].flatten(1)
            shape = (len(inputs), *[1] * (inputs.dim() - 1 - axes), *layer.normalized_shape)
            found = found + each.view(shape) if place else found * each.view(shape)
        return found

    return called
