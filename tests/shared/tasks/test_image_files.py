"""Pictures in files become inputs of the task's size and range."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from shared.errors import DataError
from shared.looking import class_names
from shared.task import TaskSettings
from shared.tasks.digits import Digits
from shared.tasks.fashion_mnist import FashionMnist
from shared.tasks.image_files import read_images


def test_black_is_minus_one_and_white_is_one(tmp_path: Path) -> None:
    """Whatever size, in grey or in colour; channels come first."""
    Image.new("RGB", (16, 4), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("L", (3, 3), 0).save(tmp_path / "black.png")
    paths = [tmp_path / "red.png", tmp_path / "black.png"]
    grey = Digits(TaskSettings()).read_inputs(paths)[0]
    assert grey.shape == (2, 1, 8, 8)
    assert grey[1].unique().tolist() == [-1.0]
    colour = read_images(paths, (3, 5, 6))
    assert colour.shape == (2, 3, 5, 6)
    assert colour.dtype == torch.float32
    assert [channel.unique().tolist() for channel in colour[0]] == [[1.0], [-1.0], [-1.0]]
    assert read_images([], (1, 8, 8)).shape == (0, 1, 8, 8)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            read_images([tmp_path / name], (1, 8, 8))


def test_clothes_have_names() -> None:
    """Ten of them."""
    names = class_names(FashionMnist(TaskSettings()), 10)
    assert (names[0], names[9], len(set(names))) == ("T-shirt", "ankle boot", 10)
