"""Scenes: every image in one at most, whole, in its box, and in the cell of its middle."""

import numpy as np
import pytest
import torch

from shared.errors import DataError
from shared.task import Examples
from shared.tasks.boxes import truth
from shared.tasks.scenes import CELLS, CONTENT, SIDE, composed


def images(count: int) -> Examples:
    """Rectangles of different sizes and shades on black; the kinds go round."""
    pixels = np.full((count, 1, 28, 28), -1.0, np.float32)
    for index in range(count):
        pixels[index, 0, 2 : 6 + index % 20, 3 : 9 + index % 17] = index / count
    return Examples((torch.from_numpy(pixels),), torch.arange(count) % 10)


def test_every_piece_is_whole_in_the_box_that_is_told() -> None:
    """One to three in a scene, without overlap: all that is bright is in the boxes."""
    scenes = composed(images(300))
    assert scenes.inputs[0].shape == (100, 1, SIDE, SIDE)
    assert scenes.targets.shape == (100, CELLS, CELLS, CONTENT.numbers)
    counts = scenes.targets[..., CONTENT.object].sum((1, 2))
    assert set(counts.tolist()) == {1.0, 2.0, 3.0}
    for scene, target in zip(scenes.inputs[0][:, 0], scenes.targets, strict=True):
        left = scene.clone()
        for top, low, bottom, high in truth(target).corners.round().long().tolist():
            piece = scene[top:bottom, low:high]
            assert len(piece.unique()) == 1
            assert float(piece[0, 0]) > -1.0
            left[top:bottom, low:high] = -1.0
        assert float(left.max()) == -1.0


def test_a_scene_depends_on_its_own_images_alone() -> None:
    """The second one stays what it is when the first is another; kinds are those of the images."""
    pool = images(9)
    whole, part = composed(pool), composed(pool.select(torch.arange(3, 6)))
    assert torch.equal(whole.inputs[0][1:2], part.inputs[0])
    assert torch.equal(whole.targets[1:2], part.targets)
    assert set(truth(part.targets[0]).kinds.tolist()) <= {3, 4, 5}


def test_an_image_of_nothing_fills_its_box() -> None:
    """Black all over."""
    pool = Examples((torch.full((3, 1, 28, 28), -1.0),), torch.zeros(3, dtype=torch.int64))
    corners = truth(composed(pool).targets[0]).corners
    assert (corners[:, 2:] - corners[:, :2]).unique().tolist() == [28.0]


def test_too_few_images_are_refused() -> None:
    """Three are one scene."""
    with pytest.raises(DataError, match="got 2"):
        composed(images(2))
