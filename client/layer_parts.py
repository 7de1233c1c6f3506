"""What one use of a layer adds to its parameters' gradients, for each example apart.

A layer's gradient is a product of what went in and of the loss's gradient by what came out. That
product gives norms, single gradients and weighted sums without a backward pass of their own.

Source: Goodfellow 2015 (arXiv:1510.01799) for linear layers; Rochette et al. 2019
(arXiv:1912.06015) for convolutions; Bu et al. 2023, "Differentially private optimization on large
models at small cost" (arXiv:2210.00038), for keeping the products.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.norms import row_norms

_MOST_NUMBERS = 1 << 27  # that single gradients of one layer may have together: 512 MiB


_GRAM = 4  # how much dearer a product in double precision is, with its conversion


def _at_most(rows: Tensor) -> Tensor:
    """What the norm along the last axis cannot be above, float64; at the cost of torch's own."""
    width = rows.shape[-1]
    found: Tensor = torch.linalg.vector_norm(rows, dim=-1).double()
    # Guarantee: in single precision squares that are added up in any order lose a share of
    # 2⁻²⁴ for each at most, and those of numbers below 2⁻⁶³ may be lost whole.
    return found.mul_(1.0 + width * 2.0**-23).add_(width**0.5 * 2.0**-63)


class Part(Protocol):
    """One use's share of one parameter's gradient, for each of n examples."""

    def norms_squared(self) -> Tensor:
        """Squared norm of each example's share, shape (n,), float64."""

    def bounds_squared(self) -> Tensor:
        """What those cannot be above but for rounding, likewise, where that costs less."""

    def each(self) -> Tensor:
        """Each example's share, shape (n, *parameter)."""

    def weighted(self, weights: Tensor) -> Tensor:
        """Σ weightᵢ · shareᵢ, shape of the parameter; `weights` has shape (n,)."""

    def drop(self, rows: Tensor) -> None:
        """From now on the examples that the mask `rows`, shape (n,), names share nothing."""


class Kept:
    """Shares that are there one by one: of biases, scales, and where it costs little.

    Args:
        each: Shape (n, *parameter).
    """

    def __init__(self, each: Tensor) -> None:
        self._each = each

    def norms_squared(self) -> Tensor:
        """As `Part`."""
        return row_norms(self._each).square()

    def bounds_squared(self) -> Tensor:
        """As `Part`."""
        return _at_most(self._each.flatten(1)).square()

    def each(self) -> Tensor:
        """As `Part`."""
        return self._each

    def weighted(self, weights: Tensor) -> Tensor:
        """As `Part`."""
        return (weights @ self._each.flatten(1)).view(self._each.shape[1:])

    def drop(self, rows: Tensor) -> None:
        """As `Part`."""
        self._each = self._each.masked_fill(_like(rows, self._each), 0.0)


class Outer:
    """Σₜ gₜ aₜᵀ: a linear map at T places of each example.

    Args:
        inputs: What went in, shape (n, T, columns).
        gradients: By what came out, shape (n, T, rows).
        shape: Of the product's rows and columns, taken apart.
        order: Of the axes of `shape` in the parameter; (): they are the parameter's.
    """

    def __init__(
        self, inputs: Tensor, gradients: Tensor, shape: torch.Size, order: tuple[int, ...] = ()
    ) -> None:
        self._inputs, self._gradients, self._shape = inputs, gradients, shape
        self._order = order or tuple(range(len(shape)))
        self._kept: Kept | None = None

    def norms_squared(self) -> Tensor:
        """As `Part`."""
        examples, places, columns = self._inputs.shape
        if places == 1:  # ‖g aᵀ‖ = ‖g‖ ‖a‖
            return (row_norms(self._inputs) * row_norms(self._gradients)).square()
        rows = self._gradients.shape[2]
        few = _GRAM * places * (columns + rows) < columns * rows
        if not few and examples * columns * rows <= _MOST_NUMBERS:
            return self._keep().norms_squared()
        # Guarantee: in double precision; what cancels in single precision could pass the clip.
        a, g = (t.double() for t in self._factors)
        return ((a @ a.transpose(1, 2)) * (g @ g.transpose(1, 2))).sum((1, 2)).clamp(min=0.0)

    def bounds_squared(self) -> Tensor:
        """As `Part`: a sum is no longer than its terms together."""
        a, g = (_at_most(tensor) for tensor in self._factors)
        return (a * g).sum(1).square()

    def each(self) -> Tensor:
        """As `Part`."""
        return self._keep().each().permute(0, *(axis + 1 for axis in self._order))

    def weighted(self, weights: Tensor) -> Tensor:
        """As `Part`."""
        if self._kept is not None:
            return self._kept.weighted(weights).permute(self._order)
        scaled = self._gradients * weights.view(-1, 1, 1)
        product = scaled.flatten(0, 1).T @ self._inputs.flatten(0, 1)
        return product.view(self._shape).permute(self._order)

    def drop(self, rows: Tensor) -> None:
        """As `Part`."""
        if self._kept is not None:
            self._kept.drop(rows)
        self._inputs = self._inputs.masked_fill(_like(rows, self._inputs), 0.0)
        self._gradients = self._gradients.masked_fill(_like(rows, self._gradients), 0.0)

    @property
    def _factors(self) -> tuple[Tensor, Tensor]:
        return self._inputs, self._gradients

    def _keep(self) -> Kept:
        if self._kept is None:
            each = self._gradients.transpose(1, 2) @ self._inputs
            self._kept = Kept(each.view(len(each), *self._shape))
        return self._kept


class Lookup:
    """Rows of a table that are added up: an embedding.

    Args:
        indices: Shape (n, T).
        gradients: By what came out, shape (n, T, width).
        shape: Of the table, (rows, width).
    """

    def __init__(self, indices: Tensor, gradients: Tensor, shape: torch.Size) -> None:
        self._indices, self._gradients, self._shape = indices, gradients, shape

    def norms_squared(self) -> Tensor:
        """As `Part`."""
        same = self._indices.unsqueeze(1) == self._indices.unsqueeze(2)
        g = self._gradients.double()
        return ((g @ g.transpose(1, 2)) * same).sum((1, 2)).clamp(min=0.0)

    def bounds_squared(self) -> Tensor:
        """As `Part`."""
        return self.norms_squared()

    def each(self) -> Tensor:
        """As `Part`."""
        table = self._gradients.new_zeros(len(self._indices), *self._shape)
        rows = self._indices.unsqueeze(2).expand_as(self._gradients)
        return table.scatter_add_(1, rows, self._gradients)

    def weighted(self, weights: Tensor) -> Tensor:
        """As `Part`."""
        scaled = (self._gradients * weights.view(-1, 1, 1)).flatten(0, 1)
        table = self._gradients.new_zeros(self._shape)
        return table.index_add_(0, self._indices.flatten(), scaled)

    def drop(self, rows: Tensor) -> None:
        """As `Part`."""
        self._gradients = self._gradients.masked_fill(_like(rows, self._gradients), 0.0)


Parts = Mapping[str, Part]


def _like(rows: Tensor, tensor: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (tensor.dim() - 1))


def _linear(layer: nn.Linear, inputs: Tensor, gradients: Tensor) -> Parts:
    a = inputs.reshape(len(inputs), -1, layer.in_features)
    g = gradients.reshape(len(gradients), -1, layer.out_features)
    return {"weight": Outer(a, g, layer.weight.shape), "bias": Kept(g.sum(1))}


def _convolution(layer: nn.Conv2d, inputs: Tensor, gradients: Tensor) -> Parts:
    patches = _patches(layer, inputs)
    g = gradients.permute(0, 2, 3, 1).flatten(1, 2)
    shape = torch.Size((layer.out_channels, *layer.kernel_size, layer.in_channels))
    return {"weight": Outer(patches, g, shape, order=(0, 3, 1, 2)), "bias": Kept(g.sum(1))}


def _patches(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """What each output place sees, shape (n, places, height · width · channels of the kernel)."""
    high, wide = (int(width) for width in layer.padding)  # not "same": `knows` says no to that
    padded = functional.pad(inputs, (wide, wide, high, high)).permute(0, 2, 3, 1).contiguous()
    (tall, broad), (down, right) = layer.kernel_size, layer.stride
    step_down, step_right = layer.dilation
    examples, rows, columns, channels = padded.shape
    # Six axes over the same numbers, copied once: four times as fast as unfold.
    size = (
        (rows - step_down * (tall - 1) - 1) // down + 1,
        (columns - step_right * (broad - 1) - 1) // right + 1,
    )
    whole, row, column, channel = padded.stride()
    seen = padded.as_strided(
        (examples, *size, tall, broad, channels),
        (whole, down * row, right * column, step_down * row, step_right * column, channel),
    )
    return seen.reshape(examples, size[0] * size[1], tall * broad * channels)


def _embedding(layer: nn.Embedding, inputs: Tensor, gradients: Tensor) -> Parts:
    indices = inputs.reshape(len(inputs), -1)
    g = gradients.reshape(len(gradients), -1, layer.embedding_dim)
    return {"weight": Lookup(indices, g, layer.weight.shape)}


def _layer_norm(layer: nn.LayerNorm, inputs: Tensor, gradients: Tensor) -> Parts:
    normal = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    size = (len(inputs), -1, *layer.normalized_shape)
    scaled, plain = (normal * gradients).reshape(size), gradients.reshape(size)
    return {"weight": Kept(scaled.sum(1)), "bias": Kept(plain.sum(1))}


def _group_norm(layer: nn.GroupNorm, inputs: Tensor, gradients: Tensor) -> Parts:
    normal = functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
    scaled, plain = (t.flatten(2).sum(2) for t in (normal * gradients, gradients))
    return {"weight": Kept(scaled), "bias": Kept(plain)}


# The exact types: a subclass may compute something else.
_PARTS: dict[type[nn.Module], Callable[..., Parts]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
}


def knows(layer: nn.Module) -> bool:
    """Whether `parts` has the gradients of all of the layer's own parameters."""
    if isinstance(layer, nn.Conv2d):
        plain = layer.groups == 1 and layer.padding_mode == "zeros"
        return type(layer) is nn.Conv2d and plain and not isinstance(layer.padding, str)
    if isinstance(layer, nn.Embedding):
        changes = (layer.padding_idx, layer.max_norm)
        flags = layer.sparse or layer.scale_grad_by_freq
        return type(layer) is nn.Embedding and changes == (None, None) and not flags
    return type(layer) in _PARTS


def parts(
    layer: nn.Module, inputs: Tensor, gradients: Tensor, kind: type[nn.Module] | None = None
) -> Parts:
    """Of each parameter of a layer that `knows` knows, by its name in the layer.

    Args:
        layer: A layer without torch's own hooks that would change what it computes.
        inputs: What went in, first axis the examples.
        gradients: By what came out, likewise.
        kind: Its class, where torch has given it another one.
    """
    return _PARTS[kind or type(layer)](layer, inputs, gradients)
