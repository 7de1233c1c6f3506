"""Columns as numbers, by constants that the file declares: never by what the rows hold.

Every rule looks at one row alone and has an answer for every cell, so that neighbouring tables give
neighbouring examples, and whether a site answers depends on no row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from shared.domains import one_of
from shared.errors import ConfigurationError
from shared.preprocessing.table import Cells

Numbers = NDArray[np.float32]  # (n, width)
Rows = NDArray[np.bool_]  # (n,)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One column as numbers.

    Attributes:
        numbers: Shape (n, width), in [-1, 1].
        spoilt: Rows whose cell is missing or not of the declared form.
        cut: How many cells lay outside the declared range.
    """

    # Secrecy: private rows.
    numbers: Numbers = field(repr=False)
    spoilt: Rows = field(repr=False)
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number between two public ends, as one of [-1, 1]; what lies outside counts as the end.

    Attributes:
        column: Name.
        low: Public lower end.
        high: Public upper end.
        scale: linear, or log: equal ratios are equal distances.
        missing: Counts for a cell that is no number; "drop": its row is left out.
    """

    column: str
    low: float
    high: float
    scale: str = field(default="linear", metadata=one_of("linear", "log"))
    missing: float | str = "drop"

    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse an empty range, and a logarithm of what is not positive."""
        ends = (self.low, self.high)
        if not (all(map(math.isfinite, ends)) and self.low < self.high):
            raise ConfigurationError(f"{self.column}: low must be below high, got {ends}")
        if self.scale == "log" and self.low <= 0.0:
            raise ConfigurationError(f"{self.column}: a log scale needs low above 0, got {ends}")
        if isinstance(self.missing, str) and self.missing != "drop":
            raise ConfigurationError(
                f"{self.column}: missing must be 'drop' or a number, got {self.missing!r}"
            )

    @property
    def drops(self) -> bool:
        """Whether a spoilt cell takes its row along."""
        return self.missing == "drop"

    def encode(self, cells: Cells) -> Encoded:
        """Shape (n, 1)."""
        numbers = np.array([_number(cell) for cell in cells], dtype=np.float64)
        spoilt = ~np.isfinite(numbers)
        numbers[spoilt] = self.low if isinstance(self.missing, str) else self.missing
        within = np.clip(numbers, self.low, self.high)
        low, high = self.low, self.high
        if self.scale == "log":
            within, low, high = np.log(within), math.log(low), math.log(high)
        scaled = 2.0 * (within - low) / (high - low) - 1.0
        outside = ((numbers < self.low) | (numbers > self.high)) & ~spoilt
        return Encoded(scaled.astype(np.float32)[:, None], spoilt, int(outside.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One of a public list, as so many numbers of which one is 1.

    Attributes:
        column: Name.
        values: The list.
        missing: "none": a cell that is not of the list has no 1; "drop": its row is left out.
    """

    column: str
    values: tuple[str, ...]
    missing: str = field(default="none", metadata=one_of("none", "drop"))

    def __post_init__(self) -> None:
        """Refuse a value that is there twice."""
        _different(self.column, self.values)

    @property
    def width(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def drops(self) -> bool:
        """Whether a spoilt cell takes its row along."""
        return self.missing == "drop"

    def encode(self, cells: Cells) -> Encoded:
        """Shape (n, number of values)."""
        places = _places(self.values, cells)
        numbers = places[:, None] == np.arange(self.width)
        return Encoded(numbers.astype(np.float32), places < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be told: a class of a public list; a row without one is left out.

    Attributes:
        column: Name.
        values: The classes.
    """

    column: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse one class, and one that is there twice."""
        _different(self.column, self.values)
        if len(self.values) < 2:
            raise ConfigurationError(f"{self.column}: expected classes, got {self.values}")

    def encode(self, cells: Cells) -> NDArray[np.int64]:
        """Number of each row's class, shape (n,); -1 where it has none."""
        return _places(self.values, cells)


Input = Number | Category


def _number(cell: str | None) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except ValueError:
        return math.nan


def _places(values: Sequence[str], cells: Cells) -> NDArray[np.int64]:
    known = {value: place for place, value in enumerate(values)}
    return np.array([-1 if cell is None else known.get(cell, -1) for cell in cells], np.int64)


def _different(column: str, values: tuple[str, ...]) -> None:
    if len(set(values)) != len(values):
        raise ConfigurationError(f"{column}: values must be different, got {values}")
