"""Finding clothes in scenes: a small single-stage detector with group norm, one loss per scene.

Each of 8x8 cells says whether the middle of a piece is in it, which box the piece has, and of which
kind it is. Unit of privacy at record level: a scene, and so each image in it.

Source: Redmon et al. 2016, "You only look once" (arXiv:1506.02640), section 2, with one box a cell.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.grey_png import grid, png
from shared.task import Examples
from shared.tasks.boxes import (
    OVERLAP,
    Boxes,
    corners,
    found,
    mean_average_precision,
    overlap,
    truth,
)
from shared.tasks.labelled_boxes import framed
from shared.tasks.made_of_images import MadeOfImages
from shared.tasks.residual import convolved
from shared.tasks.scenes import CONTENT, composed

_KINDS = 10
_SHOWN, _COLUMNS, _SURE = 16, 4, 0.15
_BOX_WEIGHT, _SCALE = 5.0, 0.25
_RARE = -3.0  # log-odds of a piece in a cell, where training begins


class Grid(nn.Module):
    """Scene -> numbers of each cell: 40,479 parameters, 64x64x1 -> 8x8x15."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *convolved(1, 16, stride=2), nn.ReLU(),
            *convolved(16, 32, stride=2), nn.ReLU(),
            *convolved(32, 48, stride=2), nn.ReLU(),
            *convolved(48, 48), nn.ReLU(), nn.Conv2d(48, 5 + _KINDS, 1),
        )  # fmt: skip

    def forward(self, scenes: Tensor) -> Tensor:
        """Shape (n, 8, 8, 15): log-odds of a piece, box before a sigmoid, kind's logits."""
        outputs: Tensor = self.layers(scenes).permute(0, 2, 3, 1)
        return torch.cat([outputs[..., :1] + _RARE, outputs[..., 1:]], dim=-1)


class Detection(MadeOfImages):
    """The task; see `ImageClassification` for who holds what."""

    models: ClassVar = {"grid": Grid}

    def made(self, images: Examples) -> Examples:
        """Scenes and what is in them."""
        return composed(images)

    def training_labels(self) -> Tensor:
        """Kind of each scene's first piece in reading order, shape (n,), int64."""
        cells = self.pool()[0].targets.flatten(1, 2)
        first = cells[..., CONTENT.object].argmax(1)
        return cells[torch.arange(len(cells)), first, CONTENT.kind].long()

    def why_unexplained(self) -> str:
        """For `murmura explain`."""
        return (
            "each of 64 cells has scores of its own, so a scene has none to explain; the run's "
            "detections-*.png show what was found"
        )

    def describe(self, outputs: Tensor) -> Sequence[str]:
        """Each piece that was found in a scene: kind, pixels from the top left corner, score."""
        return [self._line(found(scene, _SURE)) for scene in outputs]

    def _line(self, boxes: Boxes) -> str:
        names = self.class_names()
        pieces = (
            f"{names[int(kind)]} at ({top:.0f}, {left:.0f}) to ({bottom:.0f}, {right:.0f}), "
            f"{100 * float(score):.0f} %"
            for (top, left, bottom, right), kind, score in zip(
                boxes.corners.tolist(), boxes.kinds, boxes.scores, strict=True
            )
        )
        return "; ".join(pieces) or "nothing"

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of each scene, shape (n,): cells' pieces, and of cells with one its box and kind."""
        there = targets[..., CONTENT.object]
        kinds = targets[..., CONTENT.kind].long()
        odds = functional.binary_cross_entropy_with_logits(outputs[..., 0], there, reduction="none")
        boxes = functional.smooth_l1_loss(
            outputs[..., 1:5].sigmoid(), targets[..., CONTENT.box], reduction="none", beta=0.1
        ).sum(-1)
        named = functional.cross_entropy(
            outputs[..., 5:].permute(0, 3, 1, 2), kinds, reduction="none"
        )
        each = odds + there * (_BOX_WEIGHT * boxes + named)
        return _SCALE * each.sum((1, 2))

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Shares of a scene's pieces: `recall`, found by its cell; `accuracy`, named too."""
        there = targets[..., CONTENT.object]
        boxes = (outputs[..., 1:5].sigmoid(), targets[..., CONTENT.box])
        near = overlap(*(corners(box) for box in boxes)) >= OVERLAP
        seen = there * near * (outputs[..., 0] > 0)
        right = seen * (outputs[..., 5:].argmax(-1) == targets[..., CONTENT.kind])
        pieces = there.sum((1, 2)).clamp(min=1.0)
        return {"accuracy": right.sum((1, 2)) / pieces, "recall": seen.sum((1, 2)) / pieces}

    @torch.no_grad()
    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """`map50`: mean average precision at an overlap of a half, on the public scenes."""
        public = self.evaluation_data()
        seen = self._found(model, public.inputs[0], 0.05)
        pairs = zip(seen, map(truth, public.targets), strict=True)
        return {"map50": mean_average_precision(list(pairs), _KINDS)}

    @torch.no_grad()
    def pictures(self, model: nn.Module) -> Mapping[str, bytes]:
        """Public scenes with the boxes that were found, and the number of each one's kind."""
        scenes = self.evaluation_data().inputs[0][:_SHOWN]
        seen = self._found(model, scenes, _SURE)
        drawn = [framed(s[0].numpy(), boxes) for s, boxes in zip(scenes, seen, strict=True)]
        return {"detections": png(grid(np.stack(drawn), _COLUMNS))}

    @staticmethod
    def _found(model: nn.Module, scenes: Tensor, lowest: float) -> list[Boxes]:
        device = next(model.parameters()).device
        parts = [model(part.to(device)).cpu() for part in scenes.split(500)]
        return [found(outputs, lowest) for outputs in torch.cat(parts)]
