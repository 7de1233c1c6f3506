"""Pictures with texts in files: a table, a folder, one picture; each mistake names its place."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import DataError
from shared.task import TaskSettings
from shared.tasks.captions import FORMS, KINDS, LENGTH, SHAPES, TONES, WORDS, numbers, text
from shared.tasks.image_pairs import read_pairs
from shared.tasks.image_text import ImageText


def picture(path: Path, shade: int) -> None:
    """A grey square."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 40), shade).save(path)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of two pairs, and a table of the same beside it."""
    picture(tmp_path / "pairs" / "b.PNG", 255)
    picture(tmp_path / "pairs" / "a.jpg", 0)
    (tmp_path / "pairs" / "b.txt").write_text("A bright narrow boot.\n")
    (tmp_path / "pairs" / "a.txt").write_text("this bag is dark wide")
    rows = "pairs/a.jpg,this bag is dark wide,1\npairs/b.PNG,a bright narrow boot,2\n"
    (tmp_path / "pairs.csv").write_text("image,text,more\n" + rows)
    return tmp_path


def test_a_folder_a_table_and_a_picture_hold_the_same(pairs: Path) -> None:
    """In the order of names, or of rows; a picture alone has its text beside it."""
    task = ImageText(TaskSettings())
    folder, table = (task.read_records(pairs / name) for name in ("pairs", "pairs.csv"))
    alone = task.read_records(pairs / "pairs" / "b.PNG")
    assert (folder.names, table.names, alone.names) == (["a.jpg", "b.PNG"], ["1", "2"], ["b.PNG"])
    assert (list(folder.rows), list(alone.rows)) == ([0, 1], [0])
    for one, other in zip(folder.inputs, table.inputs, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(folder.inputs[1][1:], alone.inputs[1])
    assert folder.inputs[0].shape == (2, 1, 28, 28)
    assert [float(folder.inputs[0][row].mean()) for row in (0, 1)] == [-1.0, 1.0]
    assert text(folder.inputs[1][1].numpy()) == "a bright narrow boot ."
    assert "dark" not in repr(read_pairs(pairs / "pairs"))


def test_every_caption_that_is_ever_made_can_be_read() -> None:
    """Of both forms, all tones, shapes and kinds; capitals and the full stop do not matter."""
    for form in FORMS:
        for tone, shape, kind in zip(TONES, SHAPES, ("gown", "tee", "bag"), strict=True):
            said = {"tone": tone, "shape": shape, "kind": kind}
            words = [said.get(word, word) for word in form]
            found = numbers(" ".join(words).upper())
            assert [WORDS[number] for number in found] == words
            assert len(found) == LENGTH
    assert {name for pair in KINDS for name in pair} < set(WORDS)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a shiny narrow boot", "got 'shiny'"),
        ("a narrow boot", "such as 'a bright narrow boot'.*got 'a narrow boot'"),
        ("", "got ''"),
    ],
)
def test_another_caption_is_refused(caption: str, expected: str) -> None:
    """With the words that there are, or a caption that would do."""
    with pytest.raises(DataError, match=expected):
        numbers(caption)


def test_what_is_missing_is_named(pairs: Path) -> None:
    """Text, picture, column, cell, row, word."""
    task, table = ImageText(TaskSettings()), pairs / "pairs.csv"
    (pairs / "pairs" / "a.txt").unlink()
    with pytest.raises(DataError, match=r"the text of a\.jpg in .*a\.txt"):
        task.read_records(pairs / "pairs")
    (pairs / "empty").mkdir()
    with pytest.raises(DataError, match="expected pictures with a text each"):
        task.read_records(pairs / "empty")
    for content, expected in (
        ("image,words\na.png,a bag\n", "expected a column 'text'"),
        ("image,text\na.png,\n", "an image and a text in row 1"),
        ("image,text\n", "expected rows of image and text"),
        ("image,text\na.png,a dark wide bag\n", r"expected a picture in .*a\.png"),
        ("image,text\npairs/b.PNG,a dark wide dog\n", r"1: expected words of .*got 'dog'"),
    ):
        table.write_text(content)
        with pytest.raises(DataError, match=expected):
            task.read_records(table)


def test_nothing_of_the_task_s_own_pictures_is_read(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a machine without them can look at a model."""
    monkeypatch.setattr(ImageText, "pool", lambda _: np.zeros(0)[1])
    assert len(ImageText(TaskSettings()).read_records(pairs / "pairs.csv").inputs) == 2
