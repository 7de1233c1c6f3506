"""The clipped sum of clients that take one step each, and of none of them a gradient of its own.

All take it from the same parameters, so one pass serves the records of all; what went into each
layer and what came back give each client's norm, and one weighted product the sum. The same numbers
as the deployed trainer's but for rounding.

Source: as `client.layer_parts`, with a client in place of a record, and its records in place of a
record's places.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from client.layer_parts import Part, knows, parts
from shared.config_sections import TrainingConfig
from shared.spans import span
from shared.task import Examples, Task
from simulations.reading import Cohort, Held, chosen, joined

if TYPE_CHECKING:
    from simulations.reading import Client

_RECORDS = 1024  # of one pass, for each thread
_INPUTS = 1 << 22  # numbers that those may have
_LARGEST = 1e30  # norm in single precision whose scaled parts are finite too


class OneStep:
    """Clients of one model.

    Args:
        training: What a client does.
        task: Its losses.
        model: For this object alone, on the device that computes; layers that `can_be_stacked`.
    """

    def __init__(self, training: TrainingConfig, task: Task, model: nn.Module) -> None:
        self._training = training
        self._task = task
        self._layers = list(_leaves(model))
        self._weights = [weight.requires_grad_(False) for weight in model.parameters()]
        self._device = self._weights[0].device
        self._bounded = True

    @staticmethod
    def possible(training: TrainingConfig, model: nn.Module) -> bool:
        """Whether a first step is the gradient times a rate, of layers that are each used once."""
        layers = list(_leaves(model))
        owned = [layer for layer in layers if _owned(layer)]
        once = len({id(w) for layer in owned for w in layer.parameters()}) == sum(
            len(list(layer.parameters())) for layer in owned
        )
        plain = not any(getattr(layer, "inplace", False) for layer in layers)
        known = bool(owned) and all(knows(layer) for layer in owned)
        return training.optimizer == "sgd" and known and once and plain

    def clipped_sum(
        self, start: Tensor, clients: "Sequence[Client]", norm: float | None
    ) -> Tensor | None:
        """Σ clip(-η · mean gradient), shape (d,), float64.

        Args:
            start: Where all of them start, shape (d,).
            clients: Such as `takes_one_step` says, of any numbers of records.
            norm: L2 bound of each; None: there is none.

        Returns:
            None where a client's norm is not finite, or so large that a number may overflow:
            somebody else has to look at each.
        """
        with span("data"):
            held, counts = self._held(clients)
            together = held.to(self._device) if counts else None
        if together is None:
            return torch.zeros_like(start, dtype=torch.float64)
        self._load(start)
        found = self._parts(together, counts)
        rate = self._training.learning_rate
        scales = torch.full((len(counts),), -rate, dtype=torch.float64, device=self._device)
        with span("clip"):
            within = self._bounded and self._surely_below(found, _LARGEST if norm is None else norm)
            if not within:
                norms = rate * torch.stack([part.norms_squared() for part in found]).sum(0).sqrt()
                if not bool((norms < _LARGEST).all()):
                    return None
                if norm is not None:
                    scales *= (norm / norms).clamp(max=1.0)
                # Cost: where a clip binds it binds in the next round too; a bound is looked at
                # again when it bound nobody.
                self._bounded = norm is None or bool((norms <= norm).all())
        weights = scales.to(start.dtype)
        with span("aggregate"):
            return torch.cat([part.weighted(weights).reshape(-1) for part in found]).double()

    def _surely_below(self, found: Sequence[Part], norm: float) -> bool:
        """Whether no client's update can be longer than `norm`, which is finite.

        Then the clip changes nothing, and nobody need know how long each is.
        """
        # Guarantee: NaN fails the comparison, and nothing is below it that is not finite.
        bounds = torch.stack([part.bounds_squared() for part in found]).sum(0).sqrt()
        return bool((self._training.learning_rate * bounds < norm).all())

    def _load(self, start: Tensor) -> None:
        """The layers look at `start` itself, which nobody writes to."""
        sizes = [weight.numel() for weight in self._weights]
        for weight, part in zip(self._weights, start.split(sizes), strict=True):
            weight.data = part.view_as(weight)

    def _held(self, clients: "Sequence[Client]") -> tuple[Examples, list[int]]:
        """The records of all steps, and how many each client's has; of those that have any."""
        if isinstance(clients, Cohort) and max(clients.counts) <= self._training.batch_size:
            return clients.held().read(), [count for count in clients.counts if count]
        batches = [batch for batch in map(self._batch, clients) if len(batch)]
        return joined(batches or [clients[0].held]), [len(batch) for batch in batches]

    def _batch(self, client: "Client") -> Held:
        """The records of its step; where they are all it has, in no order: a mean has none."""
        count, size = len(client), self._training.batch_size
        if count <= size:
            return client.held
        order = client.turn.stream("shuffle", 1).permutation(count)
        return chosen(client.held, order[:size])

    def _parts(self, batch: Examples, counts: Sequence[int]) -> list[Part]:
        """Of each parameter, with a client where `Part` says example."""
        with span("forward"):
            went_in, came_out, outputs = self._passed(batch.inputs)
            losses = self._task.losses(outputs, batch.targets)
        with span("backward"):
            shares = _shares(counts, losses)
            came_back = torch.autograd.grad(losses, came_out, grad_outputs=shares)
        by_client = _grouping(counts, self._device)
        found: list[Part] = []
        owned = [layer for layer in self._layers if _owned(layer)]
        for layer, a, g in zip(owned, went_in, came_back, strict=True):
            shared_out = parts(layer, by_client(a, gradient=False), by_client(g, gradient=True))
            found += [shared_out[name] for name, _ in layer.named_parameters()]
        return found

    def _passed(self, inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """What went into each layer with parameters, what came out of it, and at the end."""
        (here,) = inputs
        went_in, came_out = [], []
        for layer in self._layers:
            if _owned(layer):
                went_in.append(here.detach())
                here = layer(here)
                if not here.requires_grad:
                    here.requires_grad_(True)
                came_out.append(here)
            else:
                here = layer(here)
        return went_in, came_out, here


def takes_one_step(training: TrainingConfig, count: int) -> bool:
    """Whether a client of so many records takes one step, or none for want of records."""
    if not count or training.steps:
        return not count or training.steps == 1
    return training.epochs == 1 and count <= training.batch_size


def passes(clients: "Sequence[Client]", batch: int, threads: int) -> "Iterator[Sequence[Client]]":
    """The clients of one pass after another, none without clients, of about as many records each.

    Args:
        clients: Such as `takes_one_step` says.
        batch: Records of a step at most.
        threads: That torch computes with.
    """
    if not clients:
        return
    counts = clients.counts if isinstance(clients, Cohort) else [len(client) for client in clients]
    ends = np.cumsum(np.minimum(counts, batch))
    most = threads * max(1, min(_RECORDS, _INPUTS // max(1, clients[0].width)))
    inner = np.linspace(0, ends[-1], -(-int(ends[-1]) // most) + 1)[1:-1]
    places = [0, *np.searchsorted(ends, inner).tolist(), len(counts)]
    yield from (clients[a:b] for a, b in pairwise(places) if a < b)


class _Grouped(Protocol):
    def __call__(self, tensor: Tensor, *, gradient: bool) -> Tensor: ...


def _shares(counts: Sequence[int], losses: Tensor) -> Tensor:
    """What each record's loss counts for in its client's mean."""
    if min(counts) == max(counts):
        return torch.full_like(losses, 1.0 / counts[0])
    shares = torch.tensor([1.0 / count for count in counts], device=losses.device)
    held = torch.tensor(counts, device=losses.device)
    return shares.to(losses.dtype).repeat_interleave(held)


def _grouping(counts: Sequence[int], device: torch.device) -> _Grouped:
    """Records of all -> (client, record of it, ...); gradients of what fills up are zero."""
    most = max(counts)
    if min(counts) == most:
        return lambda tensor, **_: tensor.view(len(counts), most, *tensor.shape[1:])
    held = torch.tensor(counts, device=device).unsqueeze(1)
    places = torch.arange(most, device=device).expand(len(counts), most)
    rows = held.cumsum(0) - held + torch.minimum(places, held - 1)
    filling = places >= held

    def grouped(tensor: Tensor, *, gradient: bool) -> Tensor:
        found = tensor[rows]
        if not gradient:
            return found
        return found.masked_fill(filling.view(*filling.shape, *[1] * (found.dim() - 2)), 0.0)

    return grouped


def _leaves(model: nn.Module) -> Iterator[nn.Module]:
    """The layers in the order in which a sequence of sequences calls them."""
    if type(model) is nn.Sequential:
        for layer in model:
            yield from _leaves(layer)
    else:
        yield model


def _owned(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters(recurse=False))
