"""Pictures with a text each, in files: for people who look at a model of both.

A picture with its text beside it (`shoe.png`, `shoe.txt`), a folder of such pairs, or a table (CSV
or Parquet) with the columns `image`, a path from the table's own folder on, and `text`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from shared.errors import DataError
from shared.looking import Read
from shared.preprocessing.table import read_table
from shared.tasks.image_files import read_images

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
_TABLES = (".csv", ".parquet")
_IMAGE, _TEXT = "image", "text"


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and its text.

    Attributes:
        name: What it is called among the others.
        image: Its file.
        text: As it is written.
    """

    name: str
    # Secrecy: the owner's records.
    image: Path = field(repr=False)
    text: str = field(repr=False)


def read_pairs(path: Path) -> list[Pair]:
    """All pairs of a table, a folder or a picture.

    Raises:
        DataError: there are none, or one of a pair is missing; names the file or the row.
    """
    if path.suffix in _TABLES:
        return _of_table(path)
    if not path.is_dir():
        return [_beside(path)]
    found = sorted(one for one in path.iterdir() if one.suffix.lower() in _PICTURES)
    if not found:
        raise DataError(f"expected pictures with a text each (shoe.png, shoe.txt) in {path}")
    return [_beside(one) for one in found]


def encoded_pairs(
    pairs: Sequence[Pair], shape: Sequence[int], numbers: Callable[[str], list[int]]
) -> Read:
    """Inputs of a model of pictures and words.

    Args:
        pairs: At least one.
        shape: (channels, height, width) of the model's pictures.
        numbers: A text's words.

    Raises:
        DataError: a picture that cannot be read, or a text that `numbers` refuses; names the pair.
    """
    words = torch.tensor([_numbers(pair, numbers) for pair in pairs])
    images = read_images([pair.image for pair in pairs], shape)
    inputs: tuple[Tensor, ...] = (images, words)
    return Read(inputs, [pair.name for pair in pairs], range(len(pairs)))


def _numbers(pair: Pair, numbers: Callable[[str], list[int]]) -> list[int]:
    try:
        return numbers(pair.text)
    except DataError as error:
        raise DataError(f"{pair.name}: {error}") from error


def _of_table(path: Path) -> list[Pair]:
    table = read_table(path, frozenset(("",)))
    pairs = []
    cells = zip(table.column(_IMAGE), table.column(_TEXT), strict=True)
    for row, (image, text) in enumerate(cells):
        if image is None or text is None:
            raise DataError(f"{path} must have an image and a text in row {row + 1}")
        pairs.append(Pair(str(row + 1), path.parent / image, text))
    if not pairs:
        raise DataError(f"expected rows of image and text in {path}, got none")
    return pairs


def _beside(picture: Path) -> Pair:
    path = picture.with_suffix(".txt")
    try:
        return Pair(picture.name, picture, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected the text of {picture.name} in {path}, got none") from error
