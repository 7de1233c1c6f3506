"""Which kind of clothes a piece is, told by its image, by its caption, or by both.

One model for all three: a side that is missing is 0 where both are added, and in training each
example loses one of its sides with a public probability, so that either is learnt to be used alone.
Captions are those of `image_text`, of which one in three names a wrong kind; which, is not told
(the shape, which is always right, tells a little). So both sides are worth more than one. Unit of
privacy at record level: an image with its caption.

Source: Neverova et al. 2016, "ModDrop" (arXiv:1501.00102), for sides that are dropped.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from shared.measuring import measure
from shared.task import Examples
from shared.tasks.captions import KINDS
from shared.tasks.image_text import ImageText, image_encoder, word_encoder

_JOINT = 32
_LOST = 0.5  # probability that an example loses a side, either one as often
IMAGE_ALONE, TEXT_ALONE = (1.0, 0.0), (0.0, 1.0)


class EitherSide(nn.Module):
    """Image, words, and which of the two there are -> kind: 30,138 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = image_encoder(_JOINT)
        self.words, self.read = word_encoder(_JOINT)
        self.head = nn.Linear(_JOINT, len(KINDS))
        self.lost, self.first = nn.Dropout(_LOST), nn.Dropout(0.5)

    def forward(self, images: Tensor, words: Tensor, there: Tensor | None = None) -> Tensor:
        """Logits, shape (n, 10).

        Args:
            images: Shape (n, 1, 28, 28); any numbers where there is none.
            words: Shape (n, LENGTH), int64; any words where there are none.
            there: 1 or 0 for image and words, shape (n, 2); None: both are.
        """
        if there is None:
            there = images.new_ones(len(images), 2)
        there = there * self._kept(there)
        joint = there[:, :1] * self.seen(images) + there[:, 1:] * self.read(self.words(words))
        logits: Tensor = self.head(torch.tanh(joint))
        return logits

    def _kept(self, there: Tensor) -> Tensor:
        """1 or 0 for both sides of each example; 0 in training alone, where both are there."""
        one = torch.ones_like(there[:, :1])
        loses = (self.lost(one) == 0) & (there.sum(1, keepdim=True) == 2)
        image = self.first(one) == 0
        kept: Tensor = ~(loses & torch.cat([image, ~image], dim=1))
        return kept.to(there.dtype)


class ImageOrText(ImageText):
    """The task; see `ImageClassification` for who holds what, its losses and its accuracy."""

    models: ClassVar = {"either_side": EitherSide}

    def made(self, images: Examples) -> Examples:
        """Images with captions, both there, and the images' kinds."""
        captioned = super().made(images)
        return Examples((*captioned.inputs, torch.ones(len(images), 2)), images.targets)

    def class_names(self) -> Sequence[str]:
        """Of the kinds, by the first of each one's names."""
        return tuple(names[0] for names in KINDS)

    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """Accuracy on the public examples by their images alone, and by their captions alone."""
        device = next(model.parameters()).device
        public = self.evaluation_data()
        return {
            f"accuracy_{name}_alone": measure(self, model, _only(public, sides).to(device)).metrics[
                "accuracy"
            ]
            for name, sides in (("image", IMAGE_ALONE), ("text", TEXT_ALONE))
        }


def _only(examples: Examples, sides: tuple[float, float]) -> Examples:
    images, words, there = examples.inputs
    return Examples((images, words, torch.tensor(sides).expand_as(there)), examples.targets)
