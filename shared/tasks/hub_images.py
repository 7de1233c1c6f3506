"""Image sets of a data hub, by name, through flwr-datasets (extra `hub`).

Nothing is downloaded unless this task is asked for. `data.name` is the hub's name of a set;
`population.column` names the column of the natural split, such as FEMNIST's `writer_id`. A set
without a split for evaluation (FEMNIST) gives up every tenth example of its training split, in
published order: a public rule, and no site holds those examples. All images are kept in memory.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.errors import ConfigurationError, DataError
from shared.extras import extra
from shared.task import Examples
from shared.tasks.image_classification import ImageClassification, Pool, cnn, small_cnn
from shared.tasks.residual import resnet

_SIDE = 28
_HELD_OUT = 10
_EVALUATION_SPLITS = ("test", "validation", "valid")
_IMAGES = ("image", "img")
_LABELS = ("label", "fine_label", "character")
_CLASSES = 10
_MODELS: Mapping[str, Callable[[int], nn.Module]] = {
    "small_cnn": small_cnn,
    "cnn": cnn,
    "resnet": resnet,
}


class HubImages(ImageClassification):
    """The task; images of another size or in colour are scaled to 28x28 grey.

    The model has one output for each class that the set's public description names, or 10.
    """

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        split = _split(self.settings.data_name, "train")
        return _MODELS[self.model](_classes(split, _column(split, _LABELS)))

    def pool(self) -> Pool:
        """What sites share and what the server may measure on, read once in a process."""
        return _read_pool(self.settings.data_name)

    def column(self) -> NDArray[np.generic] | None:
        """Values of `population.column` for the sites' examples, as text."""
        name = self.settings.data_column
        if not name:
            return None
        split = _split(self.settings.data_name, "train")
        if name not in split.column_names:
            raise ConfigurationError(
                f"population.column must be one of {split.column_names}, got {name!r}"
            )
        values = np.array([str(value) for value in split[name]])
        return values[_rows(self.settings.data_name)[0]]


class _NoSuchSplitError(DataError):
    """The set exists and has no split of this name."""


@lru_cache(maxsize=2)
def _hub(name: str) -> Any:
    if not name:
        raise ConfigurationError("data.name must be the hub's name of an image set, got none")
    try:
        from flwr_datasets import FederatedDataset  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"hub_images needs {extra('hub')}; got no flwr_datasets"
        ) from error
    return FederatedDataset(dataset=name, partitioners={"train": 1}, shuffle=False)


@lru_cache(maxsize=8)
def _split(name: str, split: str) -> Any:
    hub = _hub(name)
    try:
        return hub.load_split(split)
    except ValueError as error:
        raise _NoSuchSplitError(f"{name!r} has no split {split!r}: {error}") from error
    except OSError as error:  # no network, or no such set
        raise DataError(f"split {split!r} of {name!r} cannot be loaded: {error}") from error


def _evaluation_split(name: str) -> Any | None:
    for split in _EVALUATION_SPLITS:
        try:
            return _split(name, split)
        except _NoSuchSplitError:
            # Not for a split that is there and could not be loaded: evaluation would change.
            continue
    return None


def _rows(name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows of the training split for the sites, and those held out where there is no other."""
    held_out = np.zeros(len(_split(name, "train")), dtype=np.bool_)
    if _evaluation_split(name) is None:
        held_out[_HELD_OUT - 1 :: _HELD_OUT] = True
    return ~held_out, held_out


@lru_cache(maxsize=2)
def _read_pool(name: str) -> Pool:
    everything = _examples(name, _split(name, "train"))
    evaluation = _evaluation_split(name)
    if evaluation is not None:
        return everything, _examples(name, evaluation)
    training, held_out = (torch.from_numpy(np.flatnonzero(rows)) for rows in _rows(name))
    return everything.select(training), everything.select(held_out)


def _examples(name: str, split: Any) -> Examples:
    image, label = _column(split, _IMAGES), _column(split, _LABELS)
    if not len(split):
        raise DataError(f"{name!r} must hold images, got an empty split")
    grey = [np.asarray(picture.convert("L").resize((_SIDE, _SIDE))) for picture in split[image]]
    labels = torch.tensor(list(split[label]), dtype=torch.int64)
    classes = _classes(split, label)
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{name!r} must hold labels from 0 to {classes - 1} in {label!r}, got "
            f"{int(labels.min())} to {int(labels.max())}"
        )
    scaled = np.stack(grey).astype(np.float32)[:, None] / 127.5 - 1.0
    return Examples((torch.from_numpy(scaled),), labels)


def _column(split: Any, names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in split.column_names), None)
    if found is None:
        raise DataError(f"expected a column named {' or '.join(names)}, got {split.column_names}")
    return found


def _classes(split: Any, label: str) -> int:
    # From the set's public description, never from the labels that sites hold.
    return int(getattr(split.features[label], "num_classes", _CLASSES))
