"""Steps that take from a table what tells whose rows they are; each counts what it changed.

They lower what a stolen file or a careless look gives away. None of them is a guarantee: who a row
is of can often be told from what is left. What leaves a site is protected by its noise alone.

Each cell is changed by a rule that looks at this cell alone, so one row more changes no other row.
A cell to which a rule does not apply (a band of what is no number) becomes missing: nothing passes
as it was by mistake.
"""

import datetime as dt
import hmac
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from shared.domains import non_negative, one_of, positive
from shared.errors import ConfigurationError
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.table import Table

_HASH_LENGTH = 32  # hexadecimal digits: 128 bits
PATTERNS = {
    "e-mail": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "number": r"\d+",
    "phone": r"\+?\d(?:[ ()/.-]{0,2}\d){6,14}",
    "url": r"https?://\S+",
}


@dataclass(frozen=True, slots=True)
class Count:
    """What one step did to one column; for the site's operator, and nobody else.

    Attributes:
        step: Its name.
        column: Of the table.
        cells: How many it changed.
    """

    step: str
    column: str
    # Secrecy: a number of private cells, without noise; it must not leave the site.
    cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """These columns are in no result."""

    columns: tuple[str, ...]

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table without them."""
        del key
        return table.without(self.columns), _present(table, self.columns, "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """All other columns are in no result."""

    columns: tuple[str, ...]

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with these columns alone."""
        del key
        others = tuple(name for name in table.columns if name not in self.columns)
        return table.without(others), _present(table, others, "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """HMAC-SHA-256 under the site's key of the column's name and the cell, cut to 128 bits.

    The same cell has the same hash at one site and column, and another at every other; without
    the key nobody can try out names.
    """

    columns: tuple[str, ...]

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with hashes in these columns."""
        secret = key.bytes()
        for name in self.columns:
            table = _each(table, name, partial(self._hashed, secret, name))
        return table, _present(table, self.columns, "hash")

    @staticmethod
    def _hashed(secret: bytes, name: str, cell: str) -> str:
        message = f"{name}\0{cell}".encode()
        return hmac.new(secret, message, "sha256").hexdigest()[:_HASH_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Numbers rounded down to a multiple of `width`: 37 becomes 30.

    Attributes:
        columns: Of numbers, such as ages.
        width: Of a band.
        highest: Numbers above it count as it; 0: none do.
    """

    columns: tuple[str, ...]
    width: float = field(metadata=positive())
    highest: float = field(default=0.0, metadata=non_negative())

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with the lower ends of bands in these columns."""
        del key
        return _generalised(table, self.columns, self._banded, "band")

    def _banded(self, cell: str) -> str | None:
        try:
            number = float(cell)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        number = min(number, self.highest) if self.highest else number
        return f"{math.floor(number / self.width) * self.width:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The first `length` signs of each cell: of a post code, say."""

    columns: tuple[str, ...]
    length: int = field(metadata=positive())

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with beginnings in these columns."""
        del key
        return _generalised(table, self.columns, lambda cell: cell[: self.length], "prefix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Date:
    """Dates (ISO 8601) cut to month or year: 2024-03-17 becomes 2024-03."""

    columns: tuple[str, ...]
    to: str = field(default="month", metadata=one_of("month", "year"))

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with months or years in these columns."""
        del key
        return _generalised(table, self.columns, self._cut, "date")

    def _cut(self, cell: str) -> str | None:
        try:
            date = dt.datetime.fromisoformat(cell).date()
        except ValueError:
            return None
        return date.isoformat()[: 7 if self.to == "month" else 4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Everything in these columns that matches a pattern is replaced; what does not match stays.

    Attributes:
        columns: Of texts.
        pattern: A name of `PATTERNS`, or a regular expression.
        replacement: What stands there instead.
    """

    columns: tuple[str, ...]
    pattern: str
    replacement: str = "<masked>"

    def __post_init__(self) -> None:
        """Refuse what is no regular expression."""
        try:
            re.compile(PATTERNS.get(self.pattern, self.pattern))
        except re.error as error:
            raise ConfigurationError(
                f"pattern must be one of {', '.join(PATTERNS)} or a regular expression, got "
                f"{self.pattern!r}"
            ) from error

    def apply(self, table: Table, key: SiteKey) -> tuple[Table, list[Count]]:
        """The table with replacements in these columns."""
        del key
        return _generalised(table, self.columns, self.masked, "mask")

    def masked(self, text: str) -> str:
        """`text` with replacements; of use to tasks on texts too."""
        # A function: a replacement is taken as it stands, not as a template.
        return re.sub(PATTERNS.get(self.pattern, self.pattern), lambda _: self.replacement, text)


Step = Drop | Keep | Hash | Band | Prefix | Date | Mask
STEPS: dict[str, type[Step]] = {
    "band": Band,
    "date": Date,
    "drop": Drop,
    "hash": Hash,
    "keep": Keep,
    "mask": Mask,
    "prefix": Prefix,
}


def _each(table: Table, name: str, rule: Callable[[str], str | None]) -> Table:
    cells = [None if cell is None else rule(cell) for cell in table.column(name)]
    return table.replaced(name, cells)


def _generalised(
    table: Table, columns: tuple[str, ...], rule: Callable[[str], str | None], step: str
) -> tuple[Table, list[Count]]:
    counts = []
    for name in columns:
        before = table.column(name)
        table = _each(table, name, rule)
        pairs = zip(before, table.columns[name], strict=True)
        counts.append(Count(step, name, sum(old != new for old, new in pairs)))
    return table, counts


def _present(table: Table, names: tuple[str, ...], step: str) -> list[Count]:
    """Cells of these columns that are not missing."""
    return [
        Count(step, name, sum(cell is not None for cell in table.column(name))) for name in names
    ]
