"""Boxes out of a grid of cells, and how good they are: average precision at an overlap of a half.

Source: Everingham et al. 2010, "The PASCAL Visual Object Classes challenge", section 4.2, with the
area under the whole curve, as since 2010.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from shared.tasks.scenes import CELL, CELLS, CONTENT, LARGEST

OVERLAP = 0.5
_SAME = 0.4  # of two found boxes, above which the one of lower score is dropped


class Boxes(NamedTuple):
    """Of one scene.

    Attributes:
        corners: Top, left, bottom, right in pixels, shape (k, 4).
        kinds: Shape (k,), int64.
        scores: Shape (k,), the highest first.
    """

    corners: Tensor
    kinds: Tensor
    scores: Tensor


def corners(cells: Tensor) -> Tensor:
    """Boxes in pixels of cells' numbers, both of shape (n, 8, 8, 4)."""
    at = torch.arange(CELLS, device=cells.device)
    places = torch.stack(torch.meshgrid(at, at, indexing="ij"), dim=-1)
    middle, half = (cells[..., :2] + places) * CELL, cells[..., 2:] * LARGEST / 2.0
    return torch.cat([middle - half, middle + half], dim=-1)


def overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes, shapes (..., 4) that fit each other."""
    low, high = (
        torch.maximum(one[..., :2], other[..., :2]),
        torch.minimum(one[..., 2:], other[..., 2:]),
    )
    shared = (high - low).clamp(min=0.0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0.0).prod(-1) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


def found(outputs: Tensor, lowest: float = 0.05) -> Boxes:
    """What a detector's outputs, shape (8, 8, 15), say is in a scene."""
    odds, box, kinds = outputs[..., 0], outputs[..., 1:5].sigmoid(), outputs[..., 5:].softmax(-1)
    best, kind = kinds.max(-1)
    scores = (odds.sigmoid() * best).flatten()
    order = scores.argsort(descending=True)
    order = order[scores[order] >= lowest]
    all_corners = corners(box.unsqueeze(0))[0].reshape(-1, 4)
    kept: list[int] = []
    for place in order.tolist():
        if all(overlap(all_corners[place], all_corners[other]) <= _SAME for other in kept):
            kept.append(place)
    rows = torch.tensor(kept, dtype=torch.int64)
    return Boxes(all_corners[rows], kind.flatten()[rows], scores[rows])


def truth(targets: Tensor) -> Boxes:
    """What is in a scene by its target, shape (8, 8, 6)."""
    there = targets[..., CONTENT.object] > 0
    kinds = targets[..., CONTENT.kind][there].long()
    boxes = corners(targets[..., CONTENT.box].unsqueeze(0))[0][there]
    return Boxes(boxes, kinds, torch.ones(len(kinds)))


def mean_average_precision(scenes: list[tuple[Boxes, Boxes]], kinds: int) -> float:
    """Of what was found and what there is, scene by scene; over the kinds that there are."""
    each = [_average_precision(scenes, kind) for kind in range(kinds)]
    known = [value for value in each if value is not None]
    return sum(known) / len(known) if known else 0.0


def _average_precision(scenes: list[tuple[Boxes, Boxes]], kind: int) -> float | None:
    """Of one kind; None where there is none of it."""
    hits, there = list[tuple[float, bool]](), 0
    for seen, real in scenes:
        left = list(real.corners[real.kinds == kind])
        there += len(left)
        mine = seen.kinds == kind
        for box, score in zip(seen.corners[mine], seen.scores[mine].tolist(), strict=True):
            shares = [float(overlap(box, other)) for other in left]
            best = max(range(len(left)), key=shares.__getitem__, default=-1)
            hit = best >= 0 and shares[best] >= OVERLAP
            if hit:
                left.pop(best)  # a second box of the same piece is wrong
            hits.append((score, hit))
    return _area(hits, there) if there else None


def _area(hits: list[tuple[float, bool]], there: int) -> float:
    """Under precision by recall, precision made to fall only."""
    ordered = [hit for _, hit in sorted(hits, key=lambda pair: -pair[0])]
    right, precisions = 0, list[float]()
    for rank, hit in enumerate(ordered, start=1):
        right += hit
        if hit:
            precisions.append(right / rank)
    best = 0.0
    area = 0.0
    for precision in reversed(precisions):
        best = max(best, precision)
        area += best / there
    return area
