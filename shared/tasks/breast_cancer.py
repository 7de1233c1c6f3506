"""scikit-learn's breast cancer table: 569 tumours, 30 measures, benign or malignant.

Source: Wolberg, Mangasarian, Street & Street 1995, UCI Machine Learning Repository (CC BY 4.0).
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from shared.preprocessing.inputs import Number, Target
from shared.preprocessing.pipeline import Pipeline, Source
from shared.preprocessing.table import Table

_PUBLIC = 5  # every fifth row
# Ends of each measure's mean, standard error and worst value: round numbers about the ranges that
# the set's description publishes. 0.001 stands for 0, which has no logarithm.
_RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "radius": ((5, 30), (0.1, 3), (5, 40)),
    "texture": ((5, 40), (0.3, 5), (10, 50)),
    "perimeter": ((40, 200), (0.5, 25), (50, 300)),
    "area": ((100, 3000), (5, 600), (150, 5000)),
    "smoothness": ((0.05, 0.2), (0.001, 0.05), (0.05, 0.25)),
    "compactness": ((0.01, 0.4), (0.001, 0.2), (0.02, 1.2)),
    "concavity": ((0.001, 0.5), (0.001, 0.4), (0.001, 1.5)),
    "concave points": ((0.001, 0.25), (0.001, 0.06), (0.001, 0.3)),
    "symmetry": ((0.1, 0.4), (0.005, 0.1), (0.1, 0.7)),
    "fractal dimension": ((0.04, 0.1), (0.001, 0.03), (0.05, 0.25)),
}


def ranges() -> Pipeline:
    """How its columns become 30 numbers of [-1, 1], by public constants on a log scale."""
    inputs = [
        Number(column=name, low=low, high=high, scale="log")
        for place, pattern in enumerate(("mean {}", "{} error", "worst {}"))
        for name, (low, high) in (
            (pattern.format(measure), ends[place]) for measure, ends in _RANGES.items()
        )
    ]
    target = Target(column="diagnosis", values=("malignant", "benign"))
    return Pipeline(source=Source(file=""), inputs=tuple(inputs), target=target)


@lru_cache(maxsize=1)
def breast_cancer() -> tuple[Table, Table]:
    """456 rows for the sites, and 113 public ones."""
    data = load_breast_cancer()
    public = np.arange(len(data.target)) % _PUBLIC == _PUBLIC - 1
    return _table(data, ~public), _table(data, public)


def _table(data: Any, rows: NDArray[np.bool_]) -> Table:
    columns = {
        str(name): [str(value) for value in data.data[rows, place]]
        for place, name in enumerate(data.feature_names)
    }
    names = [str(data.target_names[place]) for place in data.target[rows]]
    return Table({**columns, "diagnosis": names})
