"""Texts with labels: a demonstration's, or those of a site's own folder, masked as they are read.

A folder holds `train.csv`, the site's own, and where the server measures, `test.csv`, public. Both
are UTF-8 with a heading; the columns `text` and `label` are needed, others may serve the natural
split of a simulation.
"""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.preprocessing.text import clean
from shared.preprocessing.text_masking import site_masking

TRAINING, EVALUATION = "train.csv", "test.csv"
_LOGGER = logging.getLogger("murmura.client")
_LONGEST = 1 << 20  # characters of one field


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Texts, a label of each, and what else is known of each.

    Attributes:
        texts: Clean.
        labels: Shape (n,), int64: places in a public list of labels.
        columns: By name, one value a text.
    """

    texts: tuple[str, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.texts)

    def select(self, rows: NDArray[np.int64]) -> "LabelledTexts":
        """Those at `rows`, in that order."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return LabelledTexts(tuple(self.texts[row] for row in rows), self.labels[rows], columns)


def read_lines(path: Path) -> list[str]:
    """Lines of a text that are not empty. Raises DataError if it cannot be read as UTF-8."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected texts in UTF-8, one a line, in {path}, got none") from error
    return [line for line in lines if line.strip()]


def read_folder(folder: Path, name: str, labels: Sequence[str]) -> LabelledTexts:
    """The texts of the file `name` in `folder`, cleaned, then masked as the folder asks for.

    What was masked is counted in this process's log and nowhere else.

    Args:
        folder: The site's.
        name: `TRAINING` or `EVALUATION`.
        labels: All that there are; public.

    Raises:
        DataError: no such file, columns missing, a row of another length or another label.
    """
    rows = _rows(folder / name)
    masked, report = site_masking(folder).apply([clean(row["text"]) for row in rows])
    # Secrecy: counts of private texts; the log is the site's.
    _LOGGER.info("%s: %s", name, report)
    places = {label: place for place, label in enumerate(labels)}
    numbers = [places.get(row["label"], -1) for row in rows]
    if -1 in numbers:
        # Secrecy: the label that came is the site's data; its line is enough to find it.
        raise DataError(
            f"{folder / name} must hold labels of {', '.join(labels)}, got another in row "
            f"{numbers.index(-1) + 1} below the heading"
        )
    others = [column for column in (rows[0] if rows else ()) if column not in {"text", "label"}]
    columns = {column: [row[column] for row in rows] for column in others}
    return LabelledTexts(tuple(masked), np.array(numbers, dtype=np.int64), columns)


def _rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            heading = reader.fieldnames or []
            if not {"text", "label"} <= set(heading):
                raise DataError(
                    f"{path} must have the columns text and label, got {', '.join(heading)}"
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = type(error).__name__ if isinstance(error, UnicodeDecodeError) else error
        raise DataError(f"expected a table of texts in UTF-8 at {path}, got {why}") from error
    for place, row in enumerate(rows):
        if None in row or None in row.values():
            raise DataError(
                f"{path} must hold {len(heading)} values a row, got another number in row "
                f"{place + 1} below the heading"
            )
    return rows
