"""scikit-learn's digits: 1,797 8x8 images, the tiny set for tests and first tries."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from shared.task import Examples
from shared.tasks.image_classification import ImageClassification, Pool

_EVALUATION = 297


def mlp() -> nn.Module:
    """64-32-10 with tanh: 2,410 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def tiny_cnn() -> nn.Module:
    """One 3x3 convolution of 8 channels, group norm, pooling: 1,386 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 4 * 4, 10),
    )  # fmt: skip


class Digits(ImageClassification):
    """The task; the last 297 images are the public evaluation set."""

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {"mlp": mlp, "tiny_cnn": tiny_cnn}

    def pool(self) -> Pool:
        """1,500 training and 297 evaluation images, read once in a process."""
        return _read_pool()


@lru_cache(maxsize=1)
def _read_pool() -> Pool:
    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32))[:, None] / 8.0 - 1.0
    labels = torch.from_numpy(data.target.astype(np.int64))
    return (
        Examples((images[:-_EVALUATION],), labels[:-_EVALUATION]),
        Examples((images[-_EVALUATION:],), labels[-_EVALUATION:]),
    )
