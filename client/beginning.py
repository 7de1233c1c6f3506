"""Where a client's turn begins and what it comes to, where clients keep something of a run.

What is kept is one vector for whoever trains: the control variate, if there are any, then the
local layers. What training gives back is what is shared, as long as the parameters that were
received, and then the local layers as they are now.

SCAFFOLD, in units of an update: with K local steps of rate η, h = ηKc is the server's control
variate and hᵢ the client's. A step is w ← w - η·(g + (h - hᵢ)/(ηK)); afterwards hᵢ moves by
-Δw - h, which is sent beside Δw (Karimireddy et al.'s option II: c⁺ = cᵢ - c - Δw/(ηK)).

Source: Karimireddy et al. 2020 (SCAFFOLD, arXiv:1910.06378), algorithm 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from client.memory import NOTHING
from shared.errors import MessageError, StateError
from shared.local_layers import Split, split
from shared.parameters import fill, flattened
from shared.vectors import FlatVector

_SEED = 0


def initial_layers(build_model: Callable[[], nn.Module], local_layers: str) -> FlatVector:
    """Local layers before a client's first turn, shape (l,): public, so that all begin alike."""
    if not local_layers:
        return NOTHING
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return flattened(split(build_model(), local_layers).local)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Of one turn.

    Attributes:
        shared: Parameters as they were received, shape (d,).
        server: h, shape (d,); of length 0 without control variates.
        control: hᵢ, likewise.
        local: The local layers, shape (l,).
    """

    shared: FlatVector = field(repr=False)
    server: FlatVector = field(repr=False)
    control: FlatVector = field(repr=False)
    local: FlatVector = field(repr=False)

    @classmethod
    def of(
        cls,
        received: FlatVector,
        kept: FlatVector,
        initial: FlatVector,
        *,
        shared: int,
        controlled: bool,
    ) -> "Beginning":
        """The beginning of a turn.

        Args:
            received: Parameters, then the server's control variate, if there are any.
            kept: The client's control variate, then its local layers; empty: nothing yet.
            initial: Local layers of a client that has none yet.
            shared: How many parameters are shared.
            controlled: Whether there are control variates.

        Raises:
            MessageError: `received` is of another length.
            StateError: `kept` is.
        """
        controls = shared if controlled else 0
        if received.shape != (shared + controls,):
            raise MessageError(
                f"parameters must have shape ({shared + controls},), got {received.shape}"
            )
        if not len(kept):
            kept = np.concatenate([np.zeros(controls, dtype=np.float32), initial])
        if kept.shape != (controls + len(initial),):
            raise StateError(
                f"expected {controls + len(initial)} numbers to be kept, got {kept.shape}"
            )
        return cls(received[:shared], received[shared:], kept[:controls], kept[controls:])

    def load(self, parts: Split) -> None:
        """The model begins here."""
        fill(parts.shared, self.shared)
        fill(parts.local, self.local)

    def ended(self, parts: Split, *, stepped: bool) -> FlatVector:
        """What the turn came to: the movement of all that is shared, then the local layers.

        Args:
            parts: Of the model, trained.
            stepped: Whether a step was taken; without one a control variate says nothing.
        """
        moved = flattened(parts.shared)
        with np.errstate(over="ignore", invalid="ignore"):  # for `client.update.leaving` to see
            moved -= self.shared  # in place: it is a copy
        if not (len(self.server) or parts.local):
            return moved
        # Guarantee: at record level this is computed from what was released with noise; elsewhere
        # it is clipped together with the movement, as one vector.
        shift = np.zeros_like(self.server)
        if len(shift) and stepped:
            shift = -moved - self.server
        found: FlatVector = np.concatenate([moved, shift, flattened(parts.local)])
        return found

    def drift(self, parts: Split, step_length: float) -> "Drift | None":
        """What keeps a client from its own optimum; None without control variates.

        Args:
            parts: Of the model.
            step_length: η·K.
        """
        if not len(self.server):
            return None
        return Drift(parts.shared, (self.server - self.control) / np.float32(step_length))


class Drift:
    """Adds (h - hᵢ)/(ηK) to each gradient; at record level after the noise.

    Args:
        weights: The shared parameters.
        direction: For all of them, shape (d,).
    """

    def __init__(self, weights: list[nn.Parameter], direction: FlatVector) -> None:
        self._weights = weights
        chunks = torch.from_numpy(direction).split([weight.numel() for weight in weights])
        self._parts: list[Tensor] = [
            chunk.view(weight.shape).to(weight.dtype).to(weight.device)
            for chunk, weight in zip(chunks, weights, strict=True)
        ]

    @torch.no_grad()
    def __call__(self) -> None:
        """Add it; a parameter that no loss depended on moves by it all the same."""
        for weight, part in zip(self._weights, self._parts, strict=True):
            weight.grad = part.clone() if weight.grad is None else weight.grad.add_(part)
