"""Which optimizer a run's local training asks for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from client.descent import Descent
from shared.config_sections import TrainingConfig


def optimizer(training: TrainingConfig, weights: Sequence[Tensor]) -> torch.optim.Optimizer:
    """Torch's own, new, for `weights`."""
    if training.optimizer == "adam":
        return torch.optim.Adam(weights, lr=training.learning_rate)
    return torch.optim.SGD(weights, lr=training.learning_rate, momentum=training.momentum)


def plain_optimizer(
    training: TrainingConfig, weights: Sequence[Tensor]
) -> torch.optim.Optimizer | Descent:
    """The same steps, faster where there is a way; for training without a clip of each record."""
    if training.optimizer == "sgd" and not training.momentum:
        return Descent(weights, training.learning_rate)
    return optimizer(training, weights)
