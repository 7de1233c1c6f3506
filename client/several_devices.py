"""One client's batch on several devices: each record is clipped on one, and the sum is of all.

The trainer draws a batch, deals it out, and gets Σ clipped gradients back, as it would compute them
itself but for rounding. Noise, divisor and step stay the trainer's: there is one draw, and noise is
added once, to the whole sum.

Source: the convention of Opacus 1.6, `DistributedDPOptimizer`: the first process adds the noise.
There the mean over processes is taken afterwards; here the divisor is public, and no process's.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import torch
from torch import Tensor, nn

from client.device_processes import DeviceProcesses, Message
from client.layout import as_usual
from client.losses import Losses
from client.per_record import kept_exactly
from client.shares import check_apart, chunks
from client.turn import Turn
from shared.config import RunConfig
from shared.dp.mechanisms import RecordPrivacy
from shared.errors import ConfigurationError
from shared.parameters import trainable
from shared.task import Examples


class SeveralDevices:
    """The devices of one trainer, whose own model is on the CPU.

    Args:
        config: The run's configuration.
        mechanism: Of the plan; what is not at record level is not clipped here.
        data_dir: What the task is made with.
        names: Of the devices.
    """

    def __init__(
        self,
        config: RunConfig,
        mechanism: RecordPrivacy | None,
        data_dir: Path | None,
        names: Sequence[str],
    ) -> None:
        self.processes = DeviceProcesses(config, mechanism, data_dir, names)
        self._sharded = config.runtime.sharded and mechanism is not None
        self._most = config.training.max_physical_batch
        self._seeds: list[int] = []
        self._checked = False

    def begin(self, turn: Turn) -> None:
        """Of one client; dropout has a stream of its own on each device."""
        count = len(self.processes)
        self._seeds = [turn.stream("dropout", rank).integer() for rank in range(count)]

    def sums(self, model: nn.Module, losses: Losses, batch: Examples) -> list[Tensor]:
        """Σ of the gradients of all records in `batch`, clipped at record level, by parameter.

        Args:
            model: Has the parameters to compute with.
            losses: As the devices compute them; for a check of the model alone.
            batch: Perhaps of no record.

        Raises:
            ConfigurationError: the model cannot be held in shares.
            PrivacyError: it has no gradient for each record.
            DeviceFailed: a process ended.
        """
        self._check(model, losses, batch)
        weights = trainable(model)
        count = len(self.processes)
        # Guarantee: a record is in the share of one device, so it is clipped and added once.
        rows = torch.arange(len(batch))
        shares = [as_usual(batch.select(rows[rank::count])) for rank in range(count)]
        passes = ceil(len(shares[0]) / self._most)
        messages: list[Message] = []
        for rank, share in enumerate(shares):
            said: dict[str, int] = {"passes": passes}
            if self._seeds:
                said["seed"] = self._seeds[rank]
            messages.append((said, (self._told(weights, rank), *share.inputs, share.targets)))
        self._seeds = []
        found = [tensors[0] for _, tensors in self.processes.ask(messages)]
        return self._together(weights, found)

    def _check(self, model: nn.Module, losses: Losses, batch: Examples) -> None:
        if not self._sharded or self._checked:
            return
        check_apart(model)
        if not kept_exactly(model, losses, batch):
            raise ConfigurationError(
                "runtime.sharded needs a model of linear, convolution, embedding and norm layers, "
                "for which book-keeping gives what Opacus' hooks give; got another"
            )
        self._checked = True

    def _told(self, weights: Sequence[nn.Parameter], rank: int) -> Tensor:
        """The parameters that device `rank` is told, flat."""
        if not self._sharded:
            # The first tells the others.
            return _flat(weights if rank == 0 else [])
        return _flat([chunks(weight, len(self.processes))[rank] for weight in weights])

    def _together(self, weights: Sequence[nn.Parameter], found: Sequence[Tensor]) -> list[Tensor]:
        if not self._sharded:
            parts = found[0].split([weight.numel() for weight in weights])
            return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]
        held = [
            part.split([chunks(weight, len(found))[rank].numel() for weight in weights])
            for rank, part in enumerate(found)
        ]
        return [
            torch.cat(rows).view(weight.shape)
            for rows, weight in zip(zip(*held, strict=True), weights, strict=True)
        ]


@torch.no_grad()
def _flat(weights: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.zeros(0), *(weight.detach().reshape(-1).float() for weight in weights)])
