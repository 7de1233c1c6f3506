"""Which optimizer a run's local training asks for."""

import torch
from torch import nn

from client.descent import Descent
from shared.config_sections import TrainingConfig


def optimizer(training: TrainingConfig, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Torch's own, new, for `weights`."""
    if training.optimizer == "adam":
        return torch.optim.Adam(weights, lr=training.learning_rate)
    return torch.optim.SGD(weights, lr=training.learning_rate, momentum=training.momentum)


def plain_optimizer(
    training: TrainingConfig, weights: list[nn.Parameter]
) -> torch.optim.Optimizer | Descent:
    """The same steps, faster where there is a way; for training without a clip of each record."""
    if training.optimizer == "sgd" and not training.momentum:
        return Descent(weights, training.learning_rate)
    return optimizer(training, weights)
