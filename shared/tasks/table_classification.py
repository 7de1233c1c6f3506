"""What tasks on tables share that tell the class of a row: models, losses and metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shared.looking import Read
from shared.preprocessing.inputs import Input
from shared.preprocessing.pipeline import encoded_inputs
from shared.preprocessing.table import Table
from shared.tasks.pooled import Pooled

_HIDDEN = 32


class TableClassification(Pooled):
    """Tells the class of a row: inputs of shape (n, width), targets of shape (n,)."""

    models = ("logistic", "mlp")

    def shape(self) -> tuple[int, int]:
        """Number of inputs and of classes: public, and the same on every node."""
        raise NotImplementedError

    def columns(self) -> Sequence[Input]:
        """How columns become inputs: public, and the same on every node."""
        raise NotImplementedError

    def raw(self, path: Path) -> Table:
        """The columns of a CSV or Parquet file as `columns` wants them. Raises DataError."""
        raise NotImplementedError

    def read_records(self, path: Path) -> Read:
        """The rows of a table in raw columns; those that a rule leaves out have no inputs."""
        table = self.raw(path)
        numbers, kept, _ = encoded_inputs(self.columns(), table)
        rows = np.flatnonzero(kept)
        names = [str(row + 1) for row in range(len(table))]
        return Read((torch.from_numpy(numbers[rows]),), names, rows.tolist())

    def build_model(self) -> nn.Module:
        """Logistic regression, or width-32-classes with tanh; its first numbers are torch's."""
        width, classes = self.shape()
        if self.model == "logistic":
            return nn.Sequential(nn.Linear(width, classes))
        return nn.Sequential(nn.Linear(width, _HIDDEN), nn.Tanh(), nn.Linear(_HIDDEN, classes))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each row, shape (n,)."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether each row's largest output is its class, 0 or 1, shape (n,)."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}
