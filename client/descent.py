"""How parameters move in plain training: against the gradient, and back to where they began.

Source: Li et al. 2020 (FedProx, arXiv:1812.06127) for the pull.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Descent:
    """torch.optim.SGD without momentum, bit for bit, in one call for all parameters.

    Args:
        weights: What to move.
        learning_rate: η.
    """

    def __init__(self, weights: Sequence[Tensor], learning_rate: float) -> None:
        self._weights = weights
        self._learning_rate = learning_rate

    def zero_grad(self, *, set_to_none: bool) -> None:
        """Forget the gradients; `set_to_none` is what torch's optimizers are called with."""
        del set_to_none
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """w - η · gradient; a parameter that no loss depended on stays."""
        moving: list[Tensor] = [weight for weight in self._weights if weight.grad is not None]
        gradients = [weight.grad for weight in moving if weight.grad is not None]
        if moving:
            torch._foreach_add_(moving, gradients, alpha=-self._learning_rate)


class Pull:
    """FedProx: adds μ(w - w_global) to each gradient; after the noise, since it is public.

    Args:
        weights: As they were received.
        proximal_term: μ.
    """

    def __init__(self, weights: list[nn.Parameter], proximal_term: float) -> None:
        self._weights = weights
        self._start = [weight.detach().clone() for weight in weights]
        self._proximal_term = proximal_term

    def __call__(self) -> None:
        """Add it."""
        for weight, start in zip(self._weights, self._start, strict=True):
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - start, alpha=self._proximal_term)
