"""A table as text: columns of cells, each a text or missing, read from CSV or Parquet."""

import csv
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError, DataError
from shared.extras import extra

Cells = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one length by name.

    Attributes:
        columns: Name -> cells; None is a missing one.
    """

    # Secrecy: one person's data, before any step.
    columns: Mapping[str, Cells] = field(repr=False)

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Cells:
        """The cells of one column. Raises DataError where there is none of that name."""
        if name not in self.columns:
            raise DataError(f"expected a column {name!r}, got {sorted(self.columns)}")
        return self.columns[name]

    def replaced(self, name: str, cells: Cells) -> "Table":
        """The same table with other cells in one column."""
        return Table({**self.columns, name: cells})

    def without(self, names: Iterable[str]) -> "Table":
        """The same table without some columns."""
        left_out = set(names)
        return Table({name: self.columns[name] for name in self.columns if name not in left_out})


def read_table(path: Path, missing: frozenset[str]) -> Table:
    """The table in `path`: Parquet where its name ends so, else CSV with a line of names.

    Args:
        path: The file.
        missing: Texts that stand for a missing cell, once blanks around them are cut off.

    Raises:
        DataError: missing or damaged; names the file and the line, and no cell.
        ConfigurationError: Parquet, and the extra that reads it is not installed.
    """
    columns: Mapping[str, Cells] = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    return Table({name: [_known(cell, missing) for cell in columns[name]] for name in columns})


def _known(cell: str | None, missing: frozenset[str]) -> str | None:
    text = None if cell is None else cell.strip()
    return None if text in missing else text


def _csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            names = [name.strip() for name in next(reader, [])]
            if not names or len(set(names)) != len(names) or not all(names):
                raise DataError(f"{path} must begin with a line of different names of columns")
            rows = [_checked(row, len(names), path, reader.line_num) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        # Secrecy: a decoder's message holds the bytes that it failed at.
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV in UTF-8"
        raise DataError(f"{path} cannot be read: {reason}") from None
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def _checked(row: list[str], width: int, path: Path, line: int) -> list[str]:
    if len(row) != width:
        raise DataError(f"{path}, line {line} must have {width} cells, got {len(row)}")
    return row


def _parquet(path: Path) -> dict[str, list[str | None]]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"Parquet needs {extra('tables')}; got no pyarrow") from error
    try:
        columns = parquet.read_table(path).to_pydict()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise DataError(f"{path} cannot be read as Parquet") from error
    return {str(name): [_text(value, path) for value in columns[name]] for name in columns}


def _text(value: Any, path: Path) -> str | None:
    if value is None or value != value:  # noqa: PLR0124 - NaN is a missing number
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return str(value)
    raise DataError(f"{path} must hold texts, numbers and dates, got {type(value).__name__}")
