"""DP-SGD of many clients as one computation: a gradient for each record of each client at once.

For a GPU, where a client's own steps are too small to fill it: parameters are stacked over clients,
batches of different lengths are padded with records of weight zero, and nothing goes back and forth
for a single client but the noise, which comes from each client's own cryptographic stream, drawn by
threads while the GPU computes. The same draws, clip, noise and steps as `client.trainer`'s; the
same numbers but for rounding.

Source: torch.func.vmap over torch.func.grad; Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from shared.config import RunConfig
from shared.device import choose_device
from shared.dp.clipping import Vector
from shared.dp.mechanisms import Mechanism, RecordPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.sampling import poisson_sample
from shared.dp.witness import installed
from shared.messages import TrainInstruction
from shared.norms import row_norms
from shared.spans import span
from shared.task import Examples, Task
from simulations.reading import joined
from simulations.stackable import MAPPED, can_be_mapped

if TYPE_CHECKING:
    from simulations.reading import Client

_SMALLEST = 1e-6  # added to each norm, as Opacus does
_NUMBERS = {"cuda": 1 << 28}  # of gradients at once: 1 GiB
_FEWER = 1 << 24
_CLIENTS = 64  # at once


def can_be_stacked_by_record(mechanism: Mechanism, task: Task) -> TypeGuard[RecordPrivacy]:
    """Whether each site adds its own noise, to a model that torch can map over records."""
    alone = isinstance(mechanism, RecordPrivacy) and not mechanism.distributed
    return alone and can_be_mapped(task, MAPPED)


class StackedRecords:
    """See `simulations.cohort_engine.Method`.

    Args:
        config: Of the run.
        task: Its model and losses.
        mechanism: Clip, noise and sampling.
    """

    def __init__(self, config: RunConfig, task: Task, mechanism: RecordPrivacy) -> None:
        runtime = config.runtime
        self._training = config.training
        self._task = task
        self._mechanism = mechanism
        self._device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        with torch.random.fork_rng(devices=[]):
            self._model: nn.Module = task.build_model().to(self._device).train()
        weights = dict(self._model.named_parameters())
        self._shapes = {name: weight.shape for name, weight in weights.items()}
        self._sizes = [weight.numel() for weight in weights.values()]
        self._numbers = _NUMBERS.get(self._device.type, _FEWER)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "murmura-noise")
        self._gradients = vmap(vmap(grad(self._loss), in_dims=(None, 0, 0)))

    def add(
        self, total: Vector, instruction: TrainInstruction, clients: "Iterable[Client]"
    ) -> Mapping[str, str]:
        """As `Method.add`; a client whose model is not finite is lost."""
        start = torch.from_numpy(np.array(instruction.parameters)).to(self._device)
        failed: dict[str, str] = {}
        # What a chunk keeps: its parameters, and whatever the optimizer keeps of them.
        most = max(1, min(_CLIENTS, self._numbers // (4 * len(start))))
        each = iter(clients)
        while chunk := list(islice(each, most)):
            moved = self._trained(start, chunk) - start
            finite = torch.isfinite(moved).all(1)
            if not bool(finite.all()):
                why = "ProtocolError: training diverged: expected a finite update, got NaN or "
                told = zip(chunk, finite.tolist(), strict=True)
                failed |= {c.turn.client_id: f"{why}infinity" for c, ok in told if not ok}
                moved = moved[finite]
            total += moved.double().sum(0).cpu().numpy()
        return failed

    def _trained(self, start: Tensor, clients: "Sequence[Client]") -> Tensor:
        """Parameters after the steps of a round, shape (clients, d)."""
        weights = start.expand(len(clients), -1).clone().requires_grad_()
        optimizer = self._optimizer(weights)
        records = _Records(clients, self._device)
        steps = self._mechanism.steps_per_round
        noise = self._noise(clients, 1, len(start))
        for step in range(1, steps + 1):
            with span("data"):
                drawn = [self._drawn(client, step) for client in clients]
            with torch.no_grad(), span("backward"):
                sums = self._clipped_sums(weights.detach(), records, drawn)
            coming, noise = (
                noise,
                self._noise(clients, step + 1, len(start)) if step < steps else [],
            )
            noisy = self._noisy(sums, coming, clients, step)
            noisy /= self._mechanism.batch_size
            if self._training.proximal_term:
                noisy += self._training.proximal_term * (weights.detach() - start)
            weights.grad = noisy
            with span("step"):
                optimizer.step()
        return weights.detach()

    def _drawn(self, client: "Client", step: int) -> Tensor:
        rate = self._mechanism.sample_rate
        stream = client.turn.stream("record_sampling", step)
        return torch.from_numpy(poisson_sample(len(client), rate, stream=stream))

    def _noise(
        self, clients: "Sequence[Client]", step: int, dimension: int
    ) -> list[Future[Tensor]]:
        """Being drawn: of each client, shape (d,)."""

        def drawn(client: "Client") -> Tensor:
            stream = client.turn.stream("record_noise", step)
            flat = gaussian_noise(dimension, self._mechanism.noise_stddev, stream=stream)
            return torch.from_numpy(flat.astype(np.float32))

        return [self._pool.submit(drawn, client) for client in clients]

    def _clipped_sums(self, weights: Tensor, records: "_Records", drawn: list[Tensor]) -> Tensor:
        """Σ clip(gradient) over the drawn records of each client, shape (clients, d)."""
        sums = torch.zeros_like(weights)
        longest = max(map(len, drawn))
        width = max(1, self._numbers // weights.numel())
        stack = self._named(weights)
        for first in range(0, longest, width):
            some = [rows[first : first + width] for rows in drawn]
            batch, real = records.padded(some)
            found = self._gradients(stack, batch.inputs, batch.targets)
            # A column for each number: the order of a flat vector is that of the parameters.
            flat = torch.cat([found[name].flatten(2) for name in self._shapes], dim=2)
            with span("clip"):
                sums += self._clipped(flat, real)
        return sums

    def _clipped(self, gradients: Tensor, real: Tensor) -> Tensor:
        """Of shape (clients, records, d), and which of them are records: the sums, (clients, d)."""
        norms = row_norms(gradients.flatten(0, 1)).view(gradients.shape[:2])
        finite = torch.isfinite(norms)
        # Guarantee: a gradient that is not finite counts as zero, and so does one whose square no
        # number holds; 0 times infinity would not.
        if not bool(finite.all()):
            gradients = torch.where(finite.unsqueeze(2), gradients, 0.0)
        scales = torch.where(
            finite & real, self._mechanism.clipping_norm / (norms + _SMALLEST), 0.0
        ).clamp(max=1.0)
        return torch.bmm(scales.to(gradients).unsqueeze(1), gradients).squeeze(1)

    def _noisy(
        self,
        sums: Tensor,
        noise: "Sequence[Future[Tensor]]",
        clients: "Sequence[Client]",
        step: int,
    ) -> Tensor:
        """Sums + noise; a simulation's witness adds to the sums first, and sees both."""
        witness, norm = installed(), self._mechanism.clipping_norm
        seen = []
        for row, client in enumerate(clients if witness is not None else ()):
            place = client.turn.place(step)
            added = witness.contribution(place, sums.shape[1]) if witness is not None else None
            if added is None:
                continue
            at = torch.from_numpy(added.indices).to(sums.device)
            others = sums[row, at]
            sums[row, at] = others + norm * torch.from_numpy(added.values).to(others)
            seen.append((place, row, at, others))
        with span("noise"):
            drawn = torch.stack([future.result() for future in noise])
        gpu = sums.device.type == "cuda"
        noisy = sums + (drawn.pin_memory() if gpu else drawn).to(sums.device, non_blocking=gpu)
        for place, row, at, others in seen:
            both = [values.double().cpu().numpy() / norm for values in (others, noisy[row, at])]
            if witness is not None:
                witness.saw(place, both[0], both[1])
        return noisy

    def _loss(
        self, weights: dict[str, Tensor], inputs: tuple[Tensor, ...], target: Tensor
    ) -> Tensor:
        """Of one record."""
        given = tuple(tensor.unsqueeze(0) for tensor in inputs)
        outputs = functional_call(self._model, weights, given)
        return self._task.losses(outputs, target.unsqueeze(0)).squeeze(0)

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        """Of shape (clients, d): each parameter's, (clients, ...)."""
        parts = weights.split(self._sizes, dim=1)
        named = zip(self._shapes.items(), parts, strict=True)
        return {name: part.reshape(len(weights), *shape) for (name, shape), part in named}

    def _optimizer(self, weights: Tensor) -> torch.optim.Optimizer:
        rate = self._training.learning_rate
        if self._training.optimizer == "adam":
            return torch.optim.Adam([weights], lr=rate)
        return torch.optim.SGD([weights], lr=rate, momentum=self._training.momentum)


class _Records:
    """All records of some clients in one place on the device."""

    def __init__(self, clients: "Sequence[Client]", device: torch.device) -> None:
        self._first = np.cumsum([0, *(len(client) for client in clients[:-1])])
        self._all = joined([client.held for client in clients]).to(device)
        self._device = device

    def padded(self, rows: Sequence[Tensor]) -> tuple[Examples, Tensor]:
        """Records at `rows` of each client, (clients, most, ...), and which of them are meant."""
        most = max(map(len, rows))
        places = torch.zeros(len(rows), most, dtype=torch.int64)
        real = torch.zeros(len(rows), most, dtype=torch.bool)
        for client, (own, first) in enumerate(zip(rows, self._first, strict=True)):
            places[client, : len(own)] = own + int(first)
            real[client, : len(own)] = True
        at = places.to(self._device)
        inputs = tuple(tensor[at] for tensor in self._all.inputs)
        return Examples(inputs, self._all.targets[at]), real.to(self._device)
