"""The process of one device: sums of clipped gradients over its share of each batch.

    python -m client.one_device DESCRIPTOR      of its end of a pair of sockets

It is asked by the trainer that started it (`client.device_processes`), and meets the processes of
the other devices in `torch.distributed`. It draws no noise and keeps no record longer than its
answer takes.
"""

import os
import select
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from shared.config import RunConfig
from shared.errors import FederationError
from shared.loading import loading

with loading():
    import torch
    import torch.distributed as group
    from torch import Tensor, nn

    from client.device_wire import receive, send
    from client.dp_optimizer import RecordOptimizer
    from client.losses import Losses, losses_of
    from client.per_record import PerRecord, chosen
    from client.shares import put
    from shared.device import choose_device
    from shared.dp.mechanisms import RecordPrivacy
    from shared.parameters import flattened, trainable
    from shared.task import Examples
    from shared.tasks import load_task, task_settings

_FIRST = 0


class Part(Protocol):
    """What a process does of one step; all of them at once."""

    def sums(self, parameters: Tensor, share: Examples, passes: int) -> Tensor:
        """This process's part of Σ clipped gradients over all shares, flat, float32.

        Args:
            parameters: What it is told of them, flat, float32.
            share: Its records, perhaps none.
            passes: How many physical batches the largest share takes.
        """


class Whole:
    """A device with all of the model: the first has the sum, and tells the others the parameters.

    Args:
        model: On the device.
        losses: The model and a batch -> one loss per record.
        mechanism: Clips; None: nothing is clipped.
        most: Records on the device at once.
    """

    def __init__(
        self, model: nn.Module, losses: Losses, mechanism: RecordPrivacy | None, most: int
    ) -> None:
        self._model = model
        self._weights = trainable(model)
        self._losses = losses
        self._mechanism = mechanism
        self._most = most
        self._per_record: PerRecord | None = None

    def sums(self, parameters: Tensor, share: Examples, passes: int) -> Tensor:
        """As `Part.sums`; empty but for the first process."""
        del passes  # what each adds takes one meeting, however it is worked out
        first = group.get_rank() == _FIRST
        flat = parameters if first else torch.from_numpy(flattened(self._weights))
        group.broadcast(flat, _FIRST)
        put(self._weights, flat)
        mechanism = self._mechanism
        whole = self._plain(share) if mechanism is None else self._clipped(share, mechanism)
        # Secrecy: no noise yet; from one process of the client to another, and no further.
        group.reduce(whole, _FIRST)
        return whole if first else whole[:0]

    def _clipped(self, share: Examples, mechanism: RecordPrivacy) -> Tensor:
        # It sums, and never takes a step: noise and step are the trainer's.
        optimizer = RecordOptimizer(torch.optim.SGD(self._weights, lr=1.0), mechanism)
        for part in share.chunks(self._most):
            if self._per_record is None:
                norm = mechanism.clipping_norm
                self._per_record = chosen(self._model, self._losses, part, norm)
            self._per_record.add(part, optimizer)
        return torch.from_numpy(optimizer.take_sum())

    def _plain(self, share: Examples) -> Tensor:
        for weight in self._weights:
            weight.grad = torch.zeros_like(weight)
        for part in share.chunks(self._most):
            self._losses(self._model, part).sum().backward()
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        return torch.cat([gradient.reshape(-1).float().cpu() for gradient in gradients])


def begun(order: dict[str, Any]) -> tuple[Part, torch.device]:
    """What this process computes, and where, once it has met the others."""
    config = RunConfig.from_run_config(order["config"])
    runtime, names, rank = config.runtime, order["devices"], order["rank"]
    torch.set_num_threads(runtime.torch_threads)
    device = choose_device(names[rank], runtime.gpu_memory_fraction)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if runtime.sharded and device.type == "cuda" else "gloo"
    group.init_process_group(
        backend, init_method=f"file://{order['meet']}", rank=rank, world_size=len(names)
    )
    settings = task_settings(config)
    if order["data_dir"] is not None:
        settings = replace(settings, data_dir=Path(order["data_dir"]))
    task = load_task(config.task, settings)
    told = order["mechanism"]
    mechanism = None if told is None else RecordPrivacy(**told)
    losses = losses_of(task, device, half=runtime.autocast)
    most = config.training.max_physical_batch
    model = task.build_model().train()
    if runtime.sharded and mechanism is not None:
        from client.sharded import Sharded  # noqa: PLC0415 - seconds

        return Sharded(model, losses, mechanism.clipping_norm, most, device), device
    return Whole(model.to(device), losses, mechanism, most), device


def serve(connection: Connection) -> None:
    """Answer until the trainer is gone."""
    order, _ = receive(connection)
    part, device = begun(order)
    send(connection, {})
    while True:
        try:
            asked, (parameters, *columns) = receive(connection)
        except EOFError:
            return
        if "seed" in asked:
            torch.manual_seed(asked["seed"])  # of dropout
        share = Examples(tuple(columns[:-1]), columns[-1]).to(device)
        send(connection, {}, [part.sums(parameters, share, asked["passes"])])


def main(arguments: Sequence[str]) -> None:
    """Serve; what the trainer is to know of an error, it is told."""
    connection = Connection(int(arguments[0]))
    threading.Thread(
        target=_over_with_the_trainer, args=(connection.fileno(),), daemon=True
    ).start()
    try:
        serve(connection)
    except FederationError as error:
        send(connection, {"error": type(error).__name__, "text": str(error)})
        # The others may wait in a meeting for this process; the trainer ends them all.
        connection.poll(None)


def _over_with_the_trainer(descriptor: int) -> None:
    """Whatever is computed when the trainer ends is of no use any more."""
    watch = select.poll()
    watch.register(descriptor, select.POLLHUP)
    watch.poll()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
