"""Any 28x28 grey image set of a data hub, by name, through flwr-datasets (extra `hub`).

Nothing is downloaded unless this task is asked for. `data.name` is the hub's name; the label is
the column `label`, the image the column `image` or `img`; `population.column` names the column of
the natural split.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import ConfigurationError, DataError
from shared.task import Examples
from shared.tasks.image_classification import ImageClassification, Pool

_SIDE = 28


class HubImages(ImageClassification):
    """The task; images of another size or in colour are scaled to 28x28 grey."""

    def pool(self) -> Pool:
        """The hub's splits `train` and `test`, read once in a process."""
        return _read_pool(self.settings.data_name)

    def column(self) -> NDArray[np.generic] | None:
        """Values of `population.column` in the training split."""
        name = self.settings.data_column
        if not name:
            return None
        split = _split(self.settings.data_name, "train")
        if name not in split.column_names:
            raise ConfigurationError(
                f"population.column must be one of {split.column_names}, got {name!r}"
            )
        return np.asarray(split[name])


def _split(name: str, split: str) -> Any:
    if not name:
        raise ConfigurationError("hub_images needs data.name, the hub's name of a set; got none")
    try:
        from flwr_datasets import FederatedDataset  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "hub_images needs the extra: pip install 'murmura[hub]'; got no flwr_datasets"
        ) from error
    federated = FederatedDataset(dataset=name, partitioners={"train": 1})
    return federated.load_split(split)


@lru_cache(maxsize=2)
def _read_pool(name: str) -> Pool:
    return _examples(_split(name, "train")), _examples(_split(name, "test"))


def _examples(split: Any) -> Examples:
    key = next((key for key in ("image", "img") if key in split.column_names), None)
    if key is None or "label" not in split.column_names:
        raise DataError(f"expected columns 'image' or 'img', and 'label', got {split.column_names}")
    grey = [np.asarray(image.convert("L").resize((_SIDE, _SIDE))) for image in split[key]]
    scaled = np.stack(grey).astype(np.float32)[:, None] / 127.5 - 1.0
    labels = torch.tensor(np.asarray(split["label"]), dtype=torch.int64)
    return Examples((torch.from_numpy(scaled),), labels)
