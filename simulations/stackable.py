"""Which models torch can compute for many clients, or records, at once.

Layers that act on one record alone and draw no random numbers: a stack of them is, for each client
and record, what the deployed trainer computes.
"""

import torch
from torch import nn

from shared.task import Task
from shared.tasks.residual import Residual

# Batched over clients at no cost, wherever they run.
SIMPLE: tuple[type[nn.Module], ...] = (
    nn.Sequential, nn.Flatten, nn.Linear, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.ELU,
    nn.LeakyReLU, nn.SiLU, nn.Identity, nn.LayerNorm, nn.Softplus,
)  # fmt: skip
# Slow on a processor, where one client's convolutions fill it; on a GPU they do not.
MAPPED: tuple[type[nn.Module], ...] = (
    *SIMPLE, nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool2d, nn.GroupNorm,
    nn.AdaptiveAvgPool2d, Residual,
)  # fmt: skip


def can_be_mapped(task: Task, layers: tuple[type[nn.Module], ...]) -> bool:
    """Whether the task's model is made of `layers`, each used once, and is trained as a whole."""
    with torch.random.fork_rng(devices=[]):
        model = task.build_model()
    simple = all(type(layer) in layers for layer in model.modules())
    return simple and all(weight.requires_grad for weight in model.parameters())
