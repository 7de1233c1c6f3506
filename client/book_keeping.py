"""Σ clip(gradient of each record) in one backward pass that makes no gradient of any parameter.

Parameters are fixed while the pass goes on, so autograd computes what layers hand to each other
alone; what went into each layer and the gradients that came back give norms and weighted sums
(`client.layer_parts`). Exact: the same numbers as Opacus' hooks but for rounding.

Source: Bu et al. 2023 (arXiv:2210.00038), "book-keeping".
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from client.layer_parts import Kept, Part, knows, parts
from shared.errors import PrivacyError
from shared.parameters import trainable
from shared.spans import span

_SMALLEST = 1e-6  # added to each norm, as Opacus does
Kinds = Mapping[nn.Module, type[nn.Module]]


@dataclass(slots=True)
class _Use:
    layer: nn.Module
    inputs: Tensor
    version: int
    gradients: Tensor | None = field(default=None)


class BookKeeping:
    """Clipped sums of one model.

    Args:
        model: All of its trainable parameters belong to layers that are `known`.
        kinds: What `kinds_of` said, before torch gave the layers classes of its own making.
    """

    def __init__(self, model: nn.Module, kinds: Kinds | None = None) -> None:
        self._model = model
        self._weights = trainable(model)
        self._uses: list[_Use] = []
        self._in_place = any(getattr(layer, "inplace", False) for layer in model.modules())
        self._open = False
        self._kinds = kinds_of(model) if kinds is None else kinds
        for layer in model.modules():
            if _owned(layer):
                layer.register_forward_hook(self._entered)

    @staticmethod
    def known(model: nn.Module) -> bool:
        """Whether the model is made of layers whose gradients are known."""
        return all(knows(layer) for layer in model.modules() if _owned(layer))

    def clipped_sums(
        self, losses: Callable[[nn.Module], Tensor], examples: int, clipping_norm: float
    ) -> list[Tensor]:
        """Σᵢ min(1, C/‖gᵢ‖) gᵢ of each trainable parameter; a gradient that is not finite is zero.

        Args:
            losses: Calls the model, and returns one loss per example, shape (n,).
            examples: n, at least 1.
            clipping_norm: C.

        Raises:
            PrivacyError: a parameter has no gradient per example, or what went into a layer was
                changed afterwards.
        """
        return list(self.each_clipped_sum(losses, examples, clipping_norm))

    def each_clipped_sum(
        self, losses: Callable[[nn.Module], Tensor], examples: int, clipping_norm: float
    ) -> Iterator[Tensor]:
        """`clipped_sums`, one after the other: whoever lets each go never holds two."""
        try:
            with self._fixed():
                with span("forward"):
                    total = losses(self._model).sum()
                with span("backward"):
                    total.backward()
            found = self._by_parameter(examples)
        finally:
            self._uses = []
        norms = self._norms(found)
        finite = torch.isfinite(norms)
        if not bool(finite.all()):
            for part in found:
                part.drop(~finite)
        weights = torch.where(finite, clipping_norm / (norms + _SMALLEST), 0.0).clamp(max=1.0)
        found.reverse()
        for weight in self._weights:
            yield found.pop().weighted(weights.to(weight.dtype))

    @staticmethod
    def _norms(found: list[Part]) -> Tensor:
        return torch.stack([part.norms_squared() for part in found]).sum(0).sqrt()

    @contextmanager
    def _fixed(self) -> Iterator[None]:
        for weight in self._weights:
            weight.requires_grad_(False)
        self._open = True
        try:
            yield
        finally:
            self._open = False
            for weight in self._weights:
                weight.requires_grad_(True)

    def _entered(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not self._open:
            return None
        given = inputs[0].detach()
        use = _Use(layer, given, given._version)  # noqa: SLF001 - how torch itself tells changes
        self._uses.append(use)
        first = not output.requires_grad
        if first:
            output.requires_grad_(True)

        def returned(gradient: Tensor) -> None:
            use.gradients = gradient.detach()

        output.register_hook(returned)
        # An operation in place may not change where a graph begins.
        return output.clone() if first and self._in_place else None

    def _by_parameter(self, examples: int) -> list[Part]:
        found: dict[int, list[Part]] = {}
        for use in self._uses:
            if use.inputs._version != use.version:  # noqa: SLF001 - likewise
                raise PrivacyError("expected a layer's input to stay as it was, got it changed")
            gradients = use.gradients
            if gradients is None:
                continue  # the loss does not depend on this use
            # Guarantee: a model that folds parts of an example into the batch would have each
            # part clipped to C.
            if not len(gradients) == len(use.inputs) == examples:
                raise PrivacyError(
                    f"expected {examples} examples at each layer, got {len(use.inputs)}"
                )
            kind = self._kinds[use.layer]
            for name, part in parts(use.layer, use.inputs, gradients, kind).items():
                weight = getattr(use.layer, name)
                if weight is not None and weight.requires_grad:
                    found.setdefault(id(weight), []).append(part)
        missing = [w for w in self._weights if id(w) not in found]
        if missing:
            raise PrivacyError(
                "expected one gradient per example for every trainable parameter, got none for "
                f"one of shape {tuple(missing[0].shape)}"
            )
        return [_together(found[id(weight)]) for weight in self._weights]


def kinds_of(model: nn.Module) -> Kinds:
    """The class of each layer, which says what it computes."""
    return {layer: type(layer) for layer in model.modules()}


def _together(shares: list[Part]) -> Part:
    """Of a parameter that is used several times: the norm is of the sum, not of its parts."""
    if len(shares) == 1:
        return shares[0]
    return Kept(reduce(torch.add, [share.each() for share in shares]))


def _owned(layer: nn.Module) -> bool:
    return any(weight.requires_grad for weight in layer.parameters(recurse=False))
