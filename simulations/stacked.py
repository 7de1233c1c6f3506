"""Many clients as one computation: their parameters stacked, one batched product for each layer.

For models of layers that torch can batch over clients at no cost (linear layers and what acts on
each number), trained without clipped gradients of single records. The same numbers as the deployed
trainer's but for rounding; the clip is taken a hundred thousandth short, so that rounding to single
precision never passes it.

Source: torch.func.vmap over `functional_call`, with the hand-over of gradients left to autograd.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, islice
from threading import local
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from client.optimizers import plain_optimizer
from shared.config import RunConfig
from shared.device import choose_device
from shared.dp.clipping import Vector
from shared.dp.mechanisms import ClientPrivacy, Mechanism, NoPrivacy
from shared.messages import TrainInstruction
from shared.norms import row_norms
from shared.spans import span
from shared.task import Examples, Task
from simulations.batched import Batched
from simulations.one_step import OneStep, passes, takes_one_step
from simulations.reading import Cohort, joined
from simulations.stackable import MAPPED, SIMPLE, can_be_mapped

if TYPE_CHECKING:
    from simulations.reading import Client

_NUMBERS = 1 << 20  # of a stack of parameters: what a processor's cache holds
_ON_GPU = 1 << 26  # likewise: 256 MiB
_SHORT = 1.0 + 1e-5


def can_be_stacked(task: Task, mechanism: Mechanism, *, everywhere: bool = False) -> bool:
    """Whether the task's model is the same when stacked, and gains by it.

    Args:
        task: Its model.
        mechanism: What clips.
        everywhere: Also where it would gain on a GPU only.
    """
    if not isinstance(mechanism, ClientPrivacy | NoPrivacy):
        return False
    return can_be_mapped(task, MAPPED if everywhere else SIMPLE)


class Stacked:
    """See `simulations.cohort_engine.Method`.

    Args:
        config: Of the run.
        task: Its model and losses.
        mechanism: Clips at client level.
    """

    def __init__(self, config: RunConfig, task: Task, mechanism: Mechanism) -> None:
        runtime = config.runtime
        self._training = config.training
        self._task = task
        self._clips = isinstance(mechanism, ClientPrivacy)
        self._device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        self._torch_threads = runtime.torch_threads
        self._half = runtime.autocast
        self._own = local()
        model = self._model()
        simple = can_be_mapped(task, SIMPLE) and not self._half
        self._one_step = simple and OneStep.possible(config.training, model)
        self._batched = Batched(model) if simple and Batched.possible(model) else None
        self._names = [name for name, _ in model.named_parameters()]
        self._shapes = [weight.shape for weight in model.parameters()]
        dimension = sum(weight.numel() for weight in model.parameters())
        on_gpu = self._device.type != "cpu"
        self._most = max(1, (_ON_GPU if on_gpu else _NUMBERS) // dimension)
        threads = 1 if on_gpu else os.cpu_count() or 1
        self._count = max(1, threads // self._torch_threads)
        self._pool = ThreadPoolExecutor(self._count, "murmura-stack")

    def _model(self) -> nn.Module:
        """This thread's: a call puts other parameters into the module for its time."""
        found: nn.Module | None = getattr(self._own, "model", None)
        if found is None:
            with torch.random.fork_rng(devices=[]):
                found = self._task.build_model().to(self._device).train()
            self._own.model = found
        return found

    def add(
        self, total: Vector, instruction: TrainInstruction, clients: "Iterable[Client]"
    ) -> Mapping[str, str]:
        """As `Method.add`; an update that is not finite is zero, or lost where nothing clips."""
        start = torch.from_numpy(np.array(instruction.parameters)).to(self._device)
        failed: dict[str, str] = {}
        for part, lost in self._parts(start, clients, instruction.clipping_norm):
            with span("aggregate"):
                total += part
            failed |= lost
        return failed

    def _parts(
        self, start: Tensor, clients: "Iterable[Client]", norm: float
    ) -> Iterator[tuple[Vector, dict[str, str]]]:
        once, others = self._told_apart(clients)
        for chunk in passes(once, self._training.batch_size, self._count):
            yield self._summed_at_once(start, chunk, norm)
        yield from self._pool.map(lambda chunk: self._summed(start, chunk, norm), others)

    def _summed_at_once(
        self, start: Tensor, clients: "Sequence[Client]", norm: float
    ) -> tuple[Vector, dict[str, str]]:
        # Cost: torch shares each large product out among its threads, and Python runs once; threads
        # of Python with a part each wait for one another's many small calls.
        with _torch_threads(self._count * self._torch_threads):
            summed = self._one().clipped_sum(start, clients, norm / _SHORT if self._clips else None)
        if summed is None:
            return self._summed(start, clients, norm)
        return summed.cpu().numpy(), {}

    def _summed(
        self, start: Tensor, clients: "Sequence[Client]", norm: float
    ) -> tuple[Vector, dict[str, str]]:
        failed: dict[str, str] = {}
        total = np.zeros(len(start))
        with _torch_threads(self._torch_threads):
            for alike in _alike(clients, self._most):
                part, lost = self._each_summed(start, alike, norm)
                total += part
                failed |= lost
        return total, failed

    def _one(self) -> OneStep:
        """This thread's."""
        found: OneStep | None = getattr(self._own, "one", None)
        if found is None:
            found = self._own.one = OneStep(self._training, self._task, self._model())
        return found

    def _told_apart(
        self, clients: "Iterable[Client]"
    ) -> "tuple[Sequence[Client], Iterator[Sequence[Client]]]":
        """Clients of one step, and chunks of others that are alike."""
        if not self._one_step:
            return [], _alike(list(clients), self._most)
        if isinstance(clients, Cohort):
            most = max(clients.counts, default=0)
            if most <= self._training.batch_size and takes_one_step(self._training, most):
                return clients, iter(())
        once, others = list["Client"](), list["Client"]()
        for client in clients:
            (once if takes_one_step(self._training, len(client)) else others).append(client)
        return once, _alike(others, self._most)

    def _each_summed(
        self, start: Tensor, clients: "Sequence[Client]", norm: float
    ) -> tuple[Vector, dict[str, str]]:
        moved = self._moved(start, clients)
        norms = row_norms(moved)
        finite = torch.isfinite(norms)
        failed = {}
        if not bool(finite.all()):
            finite = torch.isfinite(moved).all(1)  # a square may overflow where no number does
            moved = self._careful(moved, norm)
            names = [client.turn.client_id for client in clients]
            if not self._clips:
                why = "ProtocolError: training diverged: expected a finite update, got NaN or "
                failed = {
                    n: f"{why}infinity" for n, ok in zip(names, finite, strict=True) if not ok
                }
            norms = row_norms(moved)
        scales = (norm / (norms * _SHORT)).clamp(max=1.0) if self._clips else torch.ones_like(norms)
        # A mean over few clients in single precision; sums of many chunks in double.
        return (scales.to(moved) @ moved).double().cpu().numpy(), failed

    def _careful(self, moved: Tensor, norm: float) -> Tensor:
        """As `moved`, but rows that are not finite are zero, and huge ones have norm `norm`."""
        exact = moved.double()
        bad = ~torch.isfinite(exact).all(1)
        exact[bad] = 0.0
        if self._clips:
            lengths = torch.linalg.vector_norm(exact, dim=1, keepdim=True)
            exact *= (norm / lengths).nan_to_num(1.0).clamp(max=1.0)
        return exact.float()

    def _moved(self, start: Tensor, clients: "Sequence[Client]") -> Tensor:
        """local - received of each client, shape (clients, d)."""
        count = len(clients[0])
        before = self._named(start)
        weights = {
            name: part.expand(len(clients), *part.shape).clone().requires_grad_()
            for name, part in before.items()
        }
        with span("data"):
            examples = _together(clients, self._device)
        optimizer = plain_optimizer(self._training, list(weights.values()))
        for rows in self._batches(count, clients):
            optimizer.zero_grad(set_to_none=True)
            with span("forward"):
                loss = self._losses(weights, examples, rows)
            with span("backward"):
                loss.backward()
            with span("step"):
                self._pull(weights, before)
                optimizer.step()
        local = torch.cat([weight.detach().flatten(1) for weight in weights.values()], dim=1)
        return local - start

    def _named(self, flat: Tensor) -> dict[str, Tensor]:
        sizes = [shape.numel() for shape in self._shapes]
        parts = zip(self._names, flat.split(sizes), self._shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def _losses(self, weights: dict[str, Tensor], examples: Examples, rows: Tensor) -> Tensor:
        """The sum over clients of the mean loss of each one's batch."""
        which = torch.arange(len(rows), device=rows.device).unsqueeze(1)
        inputs = tuple(tensor[which, rows] for tensor in examples.inputs)
        if self._batched is not None:
            outputs = self._batched(weights, *inputs)
        else:
            outputs = self._mapped(weights, inputs)
        losses = self._task.losses(
            outputs.flatten(0, 1), examples.targets[which, rows].flatten(0, 1)
        )
        return losses.view(rows.shape).mean(1).sum()

    def _mapped(self, weights: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        model = self._model()

        def called(own: dict[str, Tensor], *given: Tensor) -> Tensor:
            return functional_call(model, own, given)  # type: ignore[no-any-return]

        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            outputs = torch.vmap(called)(weights, *inputs)
        return outputs.float() if self._half else outputs

    def _pull(self, weights: dict[str, Tensor], before: dict[str, Tensor]) -> None:
        if strength := self._training.proximal_term:
            for name, weight in weights.items():
                if weight.grad is not None:
                    weight.grad.add_(weight.detach() - before[name], alpha=strength)

    def _batches(self, count: int, clients: "Sequence[Client]") -> Iterator[Tensor]:
        """Rows of each batch, shape (clients, batch); as the trainer draws them."""
        limit, epoch, done = self._training.steps, 0, 0
        while count and (done < limit if limit else epoch < self._training.epochs):
            epoch += 1
            orders = np.stack(
                [client.turn.stream("shuffle", epoch).permutation(count) for client in clients]
            )
            for rows in (
                torch.from_numpy(orders).to(self._device).split(self._training.batch_size, dim=1)
            ):
                if limit and done == limit:
                    return
                done += 1
                yield rows


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Within it, torch computes with so many threads for this one."""
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before != count:
            torch.set_num_threads(before)


def _alike(clients: "Sequence[Client]", most: int) -> "Iterator[list[Client]]":
    """Clients of equal numbers of records, at most `most` at a time."""
    for _, alike in groupby(sorted(clients, key=len), key=len):
        while chunk := list(islice(alike, most)):
            yield chunk


def _together(clients: "Sequence[Client]", device: torch.device) -> Examples:
    """Records of equally many clients each, stacked along a new first axis."""
    found = joined([client.held for client in clients]).to(device)
    size = (len(clients), len(clients[0]))
    inputs = tuple(tensor.unflatten(0, size) for tensor in found.inputs)
    return Examples(inputs, found.targets.unflatten(0, size))
