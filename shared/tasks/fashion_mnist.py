"""Fashion-MNIST: 28x28 grey images of ten kinds of clothes (Xiao, Rasul & Vollgraf 2017, MIT).

Three places are searched: `data.dir` (alone, if given), where Debian's package
`dataset-fashion-mnist` puts all 60,000 + 10,000 images, and the subset of 10,000 + 2,000 that
Murmura ships. Pixels are scaled by public constants, never by statistics of anybody's data.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import DataError
from shared.task import Examples
from shared.tasks.idx import read_idx
from shared.tasks.image_classification import ImageClassification, Pool

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_SUFFIXES = ("", ".gz", ".xz")
_CLASSES = 10
_NAMES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip


class FashionMnist(ImageClassification):
    """The task; see `ImageClassification`."""

    reads_folder: ClassVar[bool] = True

    def pool(self) -> Pool:
        """All images of the first place that holds them; read once in a process."""
        return _read_pool(find_images(self.settings.data_dir))

    def class_names(self) -> Sequence[str]:
        """As the set's authors call them."""
        return _NAMES


def embedded() -> Path | None:
    """Where the shipped subset lies; None in an app bundle, which carries code only."""
    # Found, not imported: shared/ may not know simulations/, which may be absent on a node.
    spec = find_spec("simulations")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "fashion_mnist"


def find_images(data_dir: Path | None) -> Path:
    """The first place that holds the four files.

    Raises:
        DataError: none does; says what was looked for, and where.
    """
    shipped = embedded()
    places = [data_dir] if data_dir else [DEBIAN, *filter(None, [shipped])]
    for place in places:
        if all(_file(place, name) for pair in _FILES.values() for name in pair):
            return place
    names = ", ".join(name for pair in _FILES.values() for name in pair)
    looked = ", ".join(map(str, places))
    if not data_dir and shipped is None:
        looked += ", the shipped subset (not part of this installation)"
    raise DataError(
        f"expected the files {names} (plain, .gz or .xz) in one of: {looked}; install Debian's "
        "dataset-fashion-mnist or set data.dir"
    )


def _file(place: Path, name: str) -> Path | None:
    candidates = (place / (name + suffix) for suffix in _SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


@lru_cache(maxsize=2)
def _read_pool(place: Path) -> Pool:
    return _read(place, "train"), _read(place, "test")


def _read(place: Path, part: str) -> Examples:
    paths = [_file(place, name) or place / name for name in _FILES[part]]
    images, labels = (read_idx(path) for path in paths)
    _check(images, labels, paths)
    scaled = images.astype(np.float32)[:, None] / 127.5 - 1.0
    return Examples((torch.from_numpy(scaled),), torch.from_numpy(labels.astype(np.int64)))


def _check(images: NDArray[np.uint8], labels: NDArray[np.uint8], paths: list[Path]) -> None:
    if images.shape[1:] != (28, 28):
        raise DataError(f"{paths[0]} must hold 28x28 images, got shape {images.shape}")
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{paths[1]} must hold {len(images)} labels, one an image, got shape {labels.shape}"
        )
    if labels.max(initial=0) >= _CLASSES:
        raise DataError(f"{paths[1]} must hold labels below {_CLASSES}, got {labels.max()}")
