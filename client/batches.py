"""Which examples each step of plain training takes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from client.turn import Turn
from shared.config_sections import TrainingConfig


def batches(training: TrainingConfig, count: int, turn: Turn) -> Iterator[Tensor]:
    """Rows of each batch: `steps` of them, or those of `epochs` passes; none without data."""
    limit, epoch, done = training.steps, 0, 0
    while count and (done < limit if limit else epoch < training.epochs):
        epoch += 1
        order = torch.from_numpy(turn.stream("shuffle", epoch).permutation(count))
        for rows in order.split(training.batch_size):
            if limit and done == limit:
                return
            done += 1
            yield rows
