"""What a site's records say besides an update: a row of numbers for each, before any bound."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.config import RunConfig
from shared.config_sections import EvaluationConfig
from shared.normalisation import statistics_rows
from shared.task import Examples, Task

_CHUNK = 512
_HASH_RANGE = 2.0**64


def statistics_answer(examples: Examples, config: RunConfig) -> NDArray[np.float64]:
    """Rows for `query.statistics`, shape (n, 2 · channels + 1)."""
    wanted = config.statistics
    return statistics_rows(examples.inputs[0], wanted.channels, wanted.low, wanted.high)


@torch.no_grad()
def evaluation_rows(
    task: Task, model: nn.Module, examples: Examples, loss_bound: float
) -> NDArray[np.float64]:
    """A row for each example: loss / bound, accuracy, 1; shape (n, 3); not yet bounded.

    Args:
        task: Losses and metrics.
        model: With the parameters to evaluate; put into evaluation mode.
        examples: The site's; on the model's device.
        loss_bound: Public.
    """
    model.eval()
    found = [np.zeros((0, 3))]
    for part in examples.chunks(_CHUNK):
        outputs = model(*part.inputs)
        losses = task.losses(outputs, part.targets).double() / loss_bound
        scores = task.metrics(outputs, part.targets).get("accuracy", torch.zeros_like(losses))
        columns = (losses, scores.double(), torch.ones_like(losses))
        found.append(torch.stack(columns, dim=1).cpu().numpy())
    return np.concatenate(found)


def training_part(examples: Examples, evaluation: EvaluationConfig) -> Examples:
    """What the site trains on: all but what it holds out."""
    if not (evaluation.private_every and evaluation.holdout):
        return examples
    return examples.select(torch.from_numpy(np.flatnonzero(~_held_out(examples, evaluation))))


def evaluation_part(examples: Examples, evaluation: EvaluationConfig) -> Examples:
    """What the site evaluates on: what it holds out, or everything where it holds out nothing."""
    if not evaluation.holdout:
        return examples
    return examples.select(torch.from_numpy(np.flatnonzero(_held_out(examples, evaluation))))


def _held_out(examples: Examples, evaluation: EvaluationConfig) -> NDArray[np.bool_]:
    # Guarantee: a record's side depends on the record alone, so that one record more moves no
    # other from training to evaluation.
    shares = [_share(examples, row) for row in range(len(examples))]
    return np.array(shares, dtype=np.float64) < evaluation.holdout


def _share(examples: Examples, row: int) -> float:
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (*examples.inputs, examples.targets):
        digest.update(tensor[row].contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest(), "little") / _HASH_RANGE
