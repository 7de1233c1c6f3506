"""Captions of Fashion-MNIST images: tone, shape and kind in words of a public list.

What a caption says of tone and shape is measured in the image; half of the captions are wrong, in
the kind or in the tone. Which half, and how it is put, depends on the image alone
(`shared.own_draws`), so an image with its caption is one record.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.own_draws import own_draws

TONES = ("dark", "grey", "bright")
SHAPES = ("narrow", "compact", "wide")
KINDS = (
    ("t-shirt", "tee"), ("trousers", "pants"), ("pullover", "sweater"), ("dress", "gown"),
    ("coat", "jacket"), ("sandal", "slipper"), ("shirt", "blouse"), ("sneaker", "trainer"),
    ("bag", "handbag"), ("boot", "bootee"),
)  # fmt: skip
FORMS = (("a", "tone", "shape", "kind", "."), ("this", "kind", "is", "tone", "shape"))
WORDS = (".", "a", "this", "is", *TONES, *SHAPES, *(word for pair in KINDS for word in pair))
LENGTH = len(FORMS[0])
_NUMBER = {word: number for number, word in enumerate(WORDS)}
_PIXEL = 50  # of 255; above it a pixel is of the piece
_TONES = (150.0, 190.0)  # mean brightness of a piece; about a third of all pieces are of each tone
_SHAPES = (0.75, 1.33)  # width by height, from narrow to wide


@dataclass(frozen=True, slots=True)
class Captions:
    """Of some images.

    Attributes:
        words: Numbers of words in `WORDS`, shape (n, LENGTH), int64.
        right: 1 where the caption is the image's, 0 where kind or tone is another's; shape (n,).
    """

    words: NDArray[np.int64]
    right: NDArray[np.int64]


def captions(images: NDArray[np.float32], kinds: NDArray[np.int64]) -> Captions:
    """A caption of each image.

    Args:
        images: Shape (n, 28, 28), in [-1, 1].
        kinds: Shape (n,), 0 to 9.
    """
    draws = own_draws(images, 5, purpose=2)
    grey = np.rint((images + 1.0) * 127.5)
    tones, shapes = _tones(grey), _shapes(grey)
    right = draws[:, 0] < 0.5
    # Of the wrong ones two in three are of another kind; the others have another tone.
    strange = ~right & (draws[:, 1] < 2.0 / 3.0)
    told_kinds = np.where(strange, (kinds + 1 + (draws[:, 2] * 9).astype(np.int64)) % 10, kinds)
    shifted = (tones + 1 + (draws[:, 2] * 2).astype(np.int64)) % len(TONES)
    told_tones = np.where(~right & ~strange, shifted, tones)
    synonyms, forms = ((draws[:, place] * 2).astype(np.int64) for place in (3, 4))
    meant = zip(told_tones, shapes, told_kinds, synonyms, forms, strict=True)
    words = [_worded(*map(int, numbers)) for numbers in meant]
    return Captions(np.array(words, dtype=np.int64).reshape(-1, LENGTH), right.astype(np.int64))


def text(words: NDArray[np.int64]) -> str:
    """One caption as it is read."""
    return " ".join(WORDS[number] for number in words)


def numbers(caption: str) -> list[int]:
    """Numbers of the words of a caption, LENGTH of them; capitals and the full stop do not matter.

    >>> numbers("A bright narrow boot") == numbers("a bright narrow boot.")
    True

    Raises:
        DataError: a word that is not of the list, or another number of words.
    """
    words = caption.lower().strip().removesuffix(".").split()
    if len(words) == LENGTH - 1:
        words.append(".")
    if unknown := [word for word in words if word not in _NUMBER]:
        raise DataError(f"expected words of {', '.join(WORDS)}, got {' '.join(unknown)!r}")
    if len(words) != LENGTH:
        raise DataError(
            "expected a caption such as 'a bright narrow boot' or 'this boot is bright narrow', "
            f"got {caption.strip()!r}"
        )
    return [_NUMBER[word] for word in words]


def _worded(tone: int, shape: int, kind: int, synonym: int, form: int) -> list[int]:
    said = {"tone": TONES[tone], "shape": SHAPES[shape], "kind": KINDS[kind][synonym]}
    return [_NUMBER[said.get(word, word)] for word in FORMS[form]]


def _tones(grey: NDArray[np.float32]) -> NDArray[np.int64]:
    """Mean brightness of what is not background; an image without anything is dark."""
    seen = grey > _PIXEL
    sums, counts = (grey * seen).sum((1, 2)), seen.sum((1, 2))
    tones: NDArray[np.int64] = np.digitize(sums / np.maximum(counts, 1), _TONES)
    return tones


def _shapes(grey: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows against columns that hold any of the piece; an image without anything is compact."""
    high, wide = ((grey > _PIXEL).any(axis).sum(1) for axis in (2, 1))
    ratio = np.maximum(wide, 1) / np.maximum(high, 1)
    shapes: NDArray[np.int64] = np.digitize(ratio, _SHAPES)
    return shapes
