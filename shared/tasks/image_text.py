"""Whether a caption is right: an image encoder, a text encoder and a head that sees both.

Neither the image nor the caption alone tells much: half of the captions are wrong, whatever is to
be seen, and each word is about as often in a wrong one as in a right one. Unit of privacy at record
level: an image with its caption.

Source: Kim et al. 2017, "Hadamard product for low-rank bilinear pooling" (arXiv:1610.04325), for
the fusion.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from shared.looking import Read
from shared.task import Examples
from shared.tasks.captions import LENGTH, WORDS, captions, numbers
from shared.tasks.image_classification import small_cnn
from shared.tasks.image_pairs import encoded_pairs, read_pairs
from shared.tasks.made_of_images import MadeOfImages

_SHAPE = (1, 28, 28)
_EMBEDDED, _IMAGE, _JOINT = 16, 32, 64
_GAIN = 4.0  # makes products of numbers below one as large as their factors


def image_encoder(joint: int) -> nn.Module:
    """Images, shape (n, 1, 28, 28) -> (n, joint)."""
    return nn.Sequential(*list(small_cnn().children())[:-1], nn.Linear(_IMAGE, joint))


def word_encoder(joint: int) -> tuple[nn.Embedding, nn.Module]:
    """Vectors of words, shape (n, LENGTH, 16), and of captions from them, shape (n, joint)."""
    words = nn.Embedding(len(WORDS), _EMBEDDED)
    return words, nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * _EMBEDDED, joint))


class Fusion(nn.Module):
    """Image and words -> wrong or right: 33,584 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = image_encoder(_JOINT)
        self.words, self.read = word_encoder(_JOINT)
        self.head = nn.Linear(_JOINT, 2, bias=False)

    def forward(self, images: Tensor, words: Tensor) -> Tensor:
        """Shapes (n, 1, 28, 28) and (n, LENGTH) -> logits (n, 2)."""
        seen, read = self.seen(images), self.read(self.words(words))
        # The product alone: what either shows by itself tells next to nothing, and its gradients
        # would take up most of what the clip leaves.
        logits: Tensor = self.head(_GAIN * seen * read)
        return logits


class ImageText(MadeOfImages):
    """The task; see `ImageClassification` for who holds what, its losses and its accuracy."""

    models: ClassVar = {"fusion": Fusion}

    def made(self, images: Examples) -> Examples:
        """Images with captions, and whether each is right."""
        seen = images.inputs[0]
        found = captions(seen[:, 0].numpy(), images.targets.numpy())
        return Examples((seen, torch.from_numpy(found.words)), torch.from_numpy(found.right))

    def class_names(self) -> Sequence[str]:
        """Of captions."""
        return ("wrong", "right")

    def read_records(self, path: Path) -> Read:
        """Pictures and captions; see `image_pairs` for the files, `captions.numbers` for words."""
        return encoded_pairs(read_pairs(path), _SHAPE, numbers)

    def training_labels(self) -> Tensor:
        """Kind of each image, shape (n,), int64: by it the images are shared out."""
        return self.kinds()
