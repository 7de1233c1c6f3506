"""What tasks share that tell which label a text has: data, split, losses and metrics.

The labels are the task's own or those of `text.labels`: part of the run's settings, so that they
are public and the same on every node, and the model's outputs never come from what a site holds.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.partition import PartitionSpec
from shared.preprocessing.text import clean
from shared.preprocessing.text_masking import site_masking
from shared.task import Examples, Site, TaskSettings
from shared.tasks.pooled import Column, Pooled, named_column
from shared.tasks.text_tables import EVALUATION, TRAINING, LabelledTexts, read_folder, read_lines

_KEPT = 10_000  # clients of a simulation; of parts of one pool, so at most as much as that pool


class TextClassification(Pooled):
    """A subclass says which models, which labels, which demonstration, and what models are given.

    Args:
        settings: Model name, labels, and where a site's texts lie.

    Raises:
        ConfigurationError: the model is not one of the task's, or labels are said twice.
    """

    own_labels: ClassVar[tuple[str, ...]]

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self.labels = self.chosen_labels()
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise ConfigurationError(
                f"text.labels must name at least 2 different labels, got {settings.text.labels!r}"
            )
        self._texts = lru_cache(maxsize=2)(self._read)
        self._part = lru_cache(maxsize=_KEPT)(self._read_part)

    def chosen_labels(self) -> tuple[str, ...]:
        """The labels that `text.labels` lists, or the task's own."""
        listed = self.settings.text.labels
        return tuple(label.strip() for label in listed.split(",")) if listed else self.own_labels

    def demonstration(self) -> tuple[LabelledTexts, LabelledTexts]:
        """Public texts: what sites share, and what the server may measure on."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        """What the model is called with; row i depends on text i alone."""
        raise NotImplementedError

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        raise NotImplementedError

    def class_names(self) -> Sequence[str]:
        """The labels."""
        return self.labels

    def read_inputs(self, paths: Sequence[Path]) -> tuple[Tensor, ...]:
        """One text a line of files in UTF-8, masked and encoded; empty lines are left out."""
        lines = [clean(line) for path in paths for line in read_lines(path)]
        if self.settings.data_dir:
            # As the texts were that the model was trained on.
            lines = site_masking(self.settings.data_dir).apply(lines)[0]
        return self.encode(lines)

    def training(self) -> Examples:
        """All private texts, encoded."""
        return self._encoded(self._texts(TRAINING))

    def site_data(self, site: Site) -> Examples:
        """The site's part of the texts, as copies.

        Only those are encoded, which may take a large model, and once in a process.
        """
        if site.partition is None:
            return self.training()
        part = self._part(site.partition, site.index)
        return part.select(torch.arange(len(part)))

    def evaluation_data(self) -> Examples:
        """The public texts, encoded."""
        return self._encoded(self._texts(EVALUATION))

    def training_labels(self) -> Tensor:
        """Label of each text of the pool, shape (n,), int64."""
        return torch.tensor(self._texts(TRAINING).labels)

    def column(self) -> Column | None:
        """Values of `population.column`, one a text of the pool; None where none is named."""
        return named_column(self.settings.data_column, self._texts(TRAINING).columns)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each text, shape (n,)."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether each text's largest output is its label, 0 or 1, shape (n,)."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}

    def _read(self, name: str) -> LabelledTexts:
        if self.settings.data_dir:
            return read_folder(self.settings.data_dir, name, self.labels)
        return self.demonstration()[int(name == EVALUATION)]

    def _read_part(self, spec: PartitionSpec, index: int) -> Examples:
        return self._encoded(self._texts(TRAINING).select(self.parts(spec)[index]))

    def _encoded(self, read: LabelledTexts) -> Examples:
        return Examples(self.encode(read.texts), torch.tensor(read.labels))
