"""DP-SGD of one client by several processes, each with a device of its own: one draw, one noise.

Together they release what one process would, but for rounding: the first process draws the records
of a step, every process clips and sums the gradients of its share of them, and the first adds the
noise to the sum of all, takes the step, and hands the parameters out. So no process but the first
needs a stream of randomness, and there is no noise that would have to be the same at two places.

For a model that fits one device. Dropout differs from that of one process: each has masks of its
own.
"""

import torch
import torch.distributed as group
from torch import nn

from client.dp_optimizer import RecordOptimizer
from client.per_record import Losses, PerRecord, chosen
from client.turn import Turn
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.sampling import poisson_sample
from shared.parameters import fill, flattened, trainable
from shared.task import Examples

_FIRST = 0


class SeveralDevices:
    """One process's part in the training of one client; `torch.distributed` is initialised.

    Args:
        model: On this process's device; the same parameters in every process.
        losses: The model and a batch -> one loss per record.
        mechanism: Clip, noise, sampling and divisor.
        optimizer: Of torch, over the model's trainable parameters; the first process's takes the
            steps.
        max_physical_batch: Records on a device at once.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Losses,
        mechanism: RecordPrivacy,
        optimizer: torch.optim.Optimizer,
        *,
        max_physical_batch: int,
    ) -> None:
        self._model = model
        self._losses = losses
        self._mechanism = mechanism
        self._optimizer = RecordOptimizer(optimizer, mechanism)
        self._most = max_physical_batch
        self._per_record: PerRecord | None = None

    def steps(self, examples: Examples, turn: Turn | None) -> None:
        """A turn: the plan's number of noisy steps, whatever `examples` holds.

        Args:
            examples: All records of the client; every process has them.
            turn: Where sampling and noise come from; of the first process alone, else None.
        """
        for step in range(1, self._mechanism.steps_per_round + 1):
            self._accumulate(examples.select(self._part(len(examples), turn, step)))
            self._sum()
            if turn is not None:
                # Guarantee: once, by one process, on the sum over all of them.
                stream = turn.stream("record_noise", step)
                self._optimizer.noisy_step(stream, place=turn.place(step))
            self._hand_out()

    def _part(self, count: int, turn: Turn | None, step: int) -> torch.Tensor:
        """Rows of this process's share of one Poisson draw."""
        drawn = torch.zeros(count, dtype=torch.uint8)
        if turn is not None:
            stream = turn.stream("record_sampling", step)
            drawn[
                torch.from_numpy(poisson_sample(count, self._mechanism.sample_rate, stream=stream))
            ] = 1
        group.broadcast(drawn, _FIRST)
        # Guarantee: a record is in the share of one process, so it is clipped and added once.
        return drawn.nonzero().flatten()[group.get_rank() :: group.get_world_size()]

    def _accumulate(self, batch: Examples) -> None:
        for part in batch.chunks(self._most):
            if self._per_record is None:
                norm = self._optimizer.clipping_norm
                self._per_record = chosen(self._model, self._losses, part, norm)
            self._per_record.add(part, self._optimizer)

    def _sum(self) -> None:
        """The first process's sum becomes that of all."""
        # Secrecy: no noise yet; it goes from one process of the client to another, and no further.
        whole = torch.from_numpy(self._optimizer.take_sum())
        group.reduce(whole, _FIRST)
        if group.get_rank() == _FIRST:
            weights = trainable(self._model)
            parts = whole.split([weight.numel() for weight in weights])
            self._optimizer.add(
                [part.view(w.shape).to(w.device) for part, w in zip(parts, weights, strict=True)]
            )

    def _hand_out(self) -> None:
        weights = trainable(self._model)
        flat = torch.from_numpy(flattened(weights))
        group.broadcast(flat, _FIRST)
        fill(weights, flat.numpy())
