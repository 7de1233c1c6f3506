"""Whether a caption is right: an image encoder, a text encoder and a head that sees both.

Neither the image nor the caption alone tells much: half of the captions are wrong, whatever is to
be seen, and each word is about as often in a wrong one as in a right one. Unit of privacy at record
level: an image with its caption.

Source: Kim et al. 2017, "Hadamard product for low-rank bilinear pooling" (arXiv:1610.04325), for
the fusion.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from shared.looking import Read
from shared.task import Examples, TaskSettings
from shared.tasks.captions import LENGTH, WORDS, captions, numbers
from shared.tasks.fashion_mnist import FashionMnist
from shared.tasks.image_classification import Pool, small_cnn
from shared.tasks.image_pairs import encoded_pairs, read_pairs

_SHAPE = (1, 28, 28)
_EMBEDDED, _IMAGE, _JOINT = 16, 32, 64
_GAIN = 4.0  # makes products of numbers below one as large as their factors


class Fusion(nn.Module):
    """Image and words -> wrong or right: 33,584 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(*list(small_cnn().children())[:-1], nn.Linear(_IMAGE, _JOINT))
        self.words = nn.Embedding(len(WORDS), _EMBEDDED)
        self.read = nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * _EMBEDDED, _JOINT))
        self.head = nn.Linear(_JOINT, 2, bias=False)

    def forward(self, images: Tensor, words: Tensor) -> Tensor:
        """Shapes (n, 1, 28, 28) and (n, LENGTH) -> logits (n, 2)."""
        seen, read = self.seen(images), self.read(self.words(words))
        # The product alone: what either shows by itself tells next to nothing, and its gradients
        # would take up most of what the clip leaves.
        logits: Tensor = self.head(_GAIN * seen * read)
        return logits


class ImageText(FashionMnist):
    """The task; see `ImageClassification` for who holds what, its losses and its accuracy."""

    models: ClassVar = {"fusion": Fusion}

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self._pool = lru_cache(maxsize=1)(self._compute_pool)

    def pool(self) -> Pool:
        """Images with captions, and whether each is right."""
        return self._pool()

    def class_names(self) -> Sequence[str]:
        """Of captions."""
        return ("wrong", "right")

    def read_records(self, path: Path) -> Read:
        """Pictures and captions; see `image_pairs` for the files, `captions.numbers` for words."""
        return encoded_pairs(read_pairs(path), _SHAPE, numbers)

    def training_labels(self) -> Tensor:
        """Kind of each image, shape (n,), int64: by it the images are shared out."""
        return super().pool()[0].targets

    def _compute_pool(self) -> Pool:
        training, evaluation = super().pool()
        return _captioned(training), _captioned(evaluation)


def _captioned(examples: Examples) -> Examples:
    images = examples.inputs[0]
    found = captions(images[:, 0].numpy(), examples.targets.numpy())
    return Examples((images, torch.from_numpy(found.words)), torch.from_numpy(found.right))
