"""Classification of rows of a table: a CSV or Parquet file with a `pipeline.toml` beside it.

Without a folder: scikit-learn's breast cancer, 569 rows, of which every fifth is public. Scaled by
constants that the file declares; [statistics] may find means and spreads of them, charged.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from shared.errors import ConfigurationError
from shared.preprocessing.inputs import Category, Input
from shared.preprocessing.pipeline import Encoding, Pipeline, told
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.table import Table
from shared.task import Examples
from shared.tasks.breast_cancer import breast_cancer, ranges
from shared.tasks.table_classification import TableClassification

_Prepared = tuple[Table, Encoding]


class Tabular(TableClassification):
    """The task; models `logistic` and `mlp`."""

    def shape(self) -> tuple[int, int]:
        """Of the pipeline; no table is read."""
        return self._pipeline.width, self._pipeline.classes

    def columns(self) -> Sequence[Input]:
        """Of the pipeline."""
        return self._pipeline.inputs

    def raw(self, path: Path) -> Table:
        """The pipeline's input columns, after its steps."""
        return self._pipeline.raw(path)

    def class_names(self) -> Sequence[str]:
        """The classes that the pipeline lists."""
        return self._pipeline.target.values

    def feature_names(self) -> Sequence[str]:
        """Columns, and each value of those that have a list of them."""
        return [
            f"{one.column}: {value}" if value else one.column
            for one in self._pipeline.inputs
            for value in (one.values if isinstance(one, Category) else ("",))
        ]

    def training(self) -> Examples:
        """The rows of the private table that no rule leaves out."""
        return _examples(self._private[1])

    def evaluation_data(self) -> Examples:
        """The rows of the public table that no rule leaves out."""
        return _examples(self._public[1])

    def column(self) -> NDArray[np.generic] | None:
        """Values of `population.column`, as they are after all steps."""
        name = self.settings.data_column
        if not name:
            return None
        table, encoding = self._private
        if name not in table.columns:
            raise ConfigurationError(
                f"population.column must be one of {sorted(table.columns)}, got {name!r}"
            )
        return np.array([str(cell) for cell in table.columns[name]])[encoding.rows]

    @cached_property
    def _pipeline(self) -> Pipeline:
        folder = self.settings.data_dir
        return ranges() if folder is None else Pipeline.read(folder)

    @cached_property
    def _private(self) -> _Prepared:
        folder = self.settings.data_dir
        table = breast_cancer()[0] if folder is None else self._pipeline.private(folder)
        return self._prepared(table, public=False)

    @cached_property
    def _public(self) -> _Prepared:
        folder = self.settings.data_dir
        table = breast_cancer()[1] if folder is None else self._pipeline.public(folder)
        return self._prepared(table, public=True)

    def _prepared(self, table: Table, *, public: bool) -> _Prepared:
        key = SiteKey(self.settings.data_dir or Path())
        cleaned, counts = self._pipeline.cleaned(table, key, public=public)
        encoding = self._pipeline.encoded(cleaned)
        if not public:
            told([*counts, *encoding.counts])
        return cleaned, encoding


def _examples(encoding: Encoding) -> Examples:
    return Examples((torch.from_numpy(encoding.inputs),), torch.from_numpy(encoding.classes))
