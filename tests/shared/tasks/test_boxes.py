"""Boxes and their average precision, against cases that can be worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from shared.tasks.boxes import Boxes, found, mean_average_precision, overlap, truth
from shared.tasks.labelled_boxes import framed
from shared.tasks.scenes import CELLS, CONTENT

SQUARE = (0.0, 0.0, 10.0, 10.0)
SHIFTED = (0.0, 2.0, 10.0, 12.0)  # overlaps the square by 80 of 120
FAR = (30.0, 30.0, 40.0, 40.0)


def boxes(*rows: tuple[tuple[float, ...], int, float]) -> Boxes:
    """Of corners, kind and score."""
    corners, kinds, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return Boxes(
        torch.tensor(corners).reshape(-1, 4),
        torch.tensor(kinds, dtype=torch.int64),
        torch.tensor(scores),
    )


def outputs_of(target: Tensor) -> Tensor:
    """What a detector says that is sure of `target`."""
    outputs = torch.full((CELLS, CELLS, 15), -9.0)
    outputs[..., 0] = 20.0 * target[..., CONTENT.object] - 10.0
    outputs[..., 1:5] = torch.logit(target[..., CONTENT.box].clamp(0.01, 0.99))
    outputs[..., 5:].scatter_(2, target[..., CONTENT.kind :].long(), 9.0)
    return outputs


def test_overlap_is_intersection_over_union() -> None:
    """Of boxes that are the same, near, apart, and without any area."""
    one = torch.tensor([SQUARE] * 4)
    other = torch.tensor([SQUARE, SHIFTED, FAR, (5.0, 5.0, 5.0, 5.0)])
    assert overlap(one, other).tolist() == pytest.approx([1.0, 2 / 3, 0.0, 0.0])


def test_what_is_sure_is_found_again() -> None:
    """Corners and kinds of a target, through outputs and back; of one piece one box."""
    target = torch.zeros(CELLS, CELLS, CONTENT.numbers)
    target[2, 3] = torch.tensor([1.0, 0.5, 0.25, 0.6, 0.8, 7.0])
    target[6, 1] = torch.tensor([1.0, 0.1, 0.9, 0.3, 0.9, 2.0])
    real, outputs = truth(target), outputs_of(target)
    outputs[2, 4] = outputs[2, 3]  # the neighbour sees the piece too, and less surely
    outputs[2, 4, 0], outputs[2, 4, 2] = 1.0, torch.logit(torch.tensor(0.01))
    seen = found(outputs, 0.5)
    order = seen.kinds.argsort(descending=True)
    assert seen.kinds[order].tolist() == real.kinds.tolist() == [7, 2]
    torch.testing.assert_close(seen.corners[order], real.corners, atol=1e-3, rtol=0.0)


def test_of_two_kinds_precision_is_averaged_over_both() -> None:
    """All found: 1. A wrong box above a right one: a half. One of two found: a half."""
    real = boxes((SQUARE, 0, 1.0), (FAR, 1, 1.0))
    assert mean_average_precision([(real, real)], 10) == pytest.approx(1.0)
    wrong_first = boxes((FAR, 0, 0.9), (SHIFTED, 0, 0.8))
    assert mean_average_precision([(wrong_first, boxes((SQUARE, 0, 1.0)))], 10) == pytest.approx(
        0.5
    )
    assert mean_average_precision([(boxes((SHIFTED, 0, 0.9)), real)], 10) == pytest.approx(0.5)


def test_a_piece_counts_once_and_only_where_it_is() -> None:
    """A second box of it is wrong, and so is a box in another scene; nothing there is 0."""
    one = boxes((SQUARE, 0, 1.0))
    doubled = boxes((SQUARE, 0, 0.9), (SHIFTED, 0, 0.8))
    two = [(doubled, one), (boxes((SQUARE, 0, 0.7)), one)]
    # Right, wrong, right: precision 1 up to a half, then 2/3.
    assert mean_average_precision(two, 10) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert mean_average_precision([(one, boxes()), (boxes(), one)], 10) == 0.0
    assert mean_average_precision([(boxes(), boxes())], 10) == 0.0


def test_frames_and_numbers_are_drawn_at_twice_the_size() -> None:
    """Inside the picture, also where a box is not."""
    scene = np.full((64, 64), -1.0, np.float32)
    picture = framed(scene, boxes((SQUARE, 1, 0.9), ((60.0, 60.0, 80.0, 80.0), 8, 0.9)))
    assert picture.shape == (128, 128)
    assert (picture[20, 0:21] == 1.0).all()
    assert (picture[0:21, 20] == 1.0).all()
    assert (picture[2:8, 3] == 1.0).all()  # a stroke: 1
    assert picture[127, 127] == 1.0
    assert (scene == -1.0).all()
