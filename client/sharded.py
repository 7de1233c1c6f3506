"""A model in shares: each device holds a part of every layer, and all of one layer at a time.

Torch's FSDP gathers a layer's parameters before it computes and lets them go afterwards; book-
keeping (`client.book_keeping`) clips each record's gradient on the device that has the record, in
one backward pass that makes no gradient of any parameter. What it sums goes, layer by layer, to the
device that holds that share. So every process must make the same passes in the same order: one
whose records are used up computes made-up ones, and adds zeros.

Source: Zhao et al. 2023 (PyTorch FSDP, arXiv:2304.11277); Bu et al. 2023 (arXiv:2311.11822) for
clipping by book-keeping on shares. We deviate from Opacus 1.6, which clips by a second backward
pass: what is not finite there meets 0 · ∞ in it, and reaches every share.
"""

from collections.abc import Iterator
from typing import cast

import torch
import torch.distributed as group
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from client.book_keeping import BookKeeping, kinds_of
from client.losses import Losses
from client.per_record import made_up
from client.shares import check_apart, chunks, put
from shared.parameters import trainable
from shared.task import Examples


class Sharded:
    """One process's part; see `client.one_device.Part`.

    Args:
        model: Whole, on the CPU; of layers that book-keeping knows.
        losses: The model and a batch -> one loss per record.
        clipping_norm: C.
        most: Records on the device at once.
        device: Where its share goes.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Losses,
        clipping_norm: float,
        most: int,
        device: torch.device,
    ) -> None:
        self._losses = losses
        self._clipping_norm = clipping_norm
        self._most = most
        check_apart(model)
        kinds = kinds_of(model)
        mesh = init_device_mesh(device.type, (group.get_world_size(),))
        layers = [layer for layer in model.modules() if any(True for _ in layer.parameters(False))]
        for layer in layers:
            if layer is not model:
                fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        self._kept = BookKeeping(model, kinds)
        self._shares = [_rows_of(weight) for weight in trainable(model)]

    def sums(self, parameters: Tensor, share: Examples, passes: int) -> Tensor:
        """As `Part.sums`: of the rows of each parameter that this process holds."""
        put(self._shares, parameters)
        sums = [torch.zeros_like(rows) for rows in self._shares]
        batches = list(share.chunks(self._most))
        for number in range(passes):
            real = number < len(batches)
            batch = batches[number] if real else made_up(share)
            for rows, whole in zip(sums, self._clipped(batch), strict=True):
                # Guarantee: what was made up counts for nothing, whatever came of it.
                self._to_holders(rows, whole if real else torch.zeros_like(whole))
        return torch.cat([rows.reshape(-1).float().cpu() for rows in sums])

    def _clipped(self, batch: Examples) -> Iterator[Tensor]:
        return self._kept.each_clipped_sum(
            lambda model: self._losses(model, batch), len(batch), self._clipping_norm
        )

    def _to_holders(self, rows: Tensor, whole: Tensor) -> None:
        """Add what all processes have of one parameter to the rows of who holds them."""
        # Secrecy: no noise yet; from one process of the client to another, and no further.
        for rank, held in enumerate(chunks(whole, group.get_world_size())):
            part = held.contiguous()
            if part.numel():
                group.reduce(part, rank)
            if rank == group.get_rank():
                rows += part


def _rows_of(weight: nn.Parameter) -> Tensor:
    rows: Tensor = cast("DTensor", weight).to_local()
    return rows.detach()
