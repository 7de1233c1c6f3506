"""`pipeline.toml`: which file, what is taken out, which columns become which numbers.

It lies beside the data and is the site's own; the server's folder has one with the same inputs,
and a public table to measure on. No key and no statistic of a row is in it.
"""

import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError, DataError
from shared.preprocessing import FILE
from shared.preprocessing.declared import declared
from shared.preprocessing.inputs import Category, Input, Number, Numbers, Rows, Target
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.steps import STEPS, Count, Drop, Hash, Keep, Step
from shared.preprocessing.table import Table, read_table

_LOGGER = logging.getLogger("murmura.preprocessing")
_KINDS: dict[str, type[Input]] = {"number": Number, "category": Category}
_TABLES = ("inputs", "steps", "table", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The table [table].

    Attributes:
        file: Name of the private file, in the same folder; .csv or .parquet.
        evaluation: Name of the public one; empty: there is none here.
        missing: Texts that stand for a missing cell, beside the empty one.
    """

    file: str
    evaluation: str = ""
    missing: tuple[str, ...] = ("NA", "NaN", "?")

    def __post_init__(self) -> None:
        """Refuse what leads out of the folder."""
        for name in filter(None, (self.file, self.evaluation)):
            if Path(name).name != name:
                raise ConfigurationError(
                    f"expected the name of a file in the folder of {FILE}, got {name!r}"
                )


@dataclass(frozen=True, slots=True)
class Encoding:
    """A table as numbers; rows that a rule leaves out are not in it.

    Attributes:
        inputs: Shape (n, width), in [-1, 1].
        classes: Shape (n,).
        rows: Which rows of the table they are, shape (n,).
        counts: What was changed on the way.
    """

    # Secrecy: private rows.
    inputs: Numbers = field(repr=False)
    classes: NDArray[np.int64] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    counts: list[Count] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """All of the file.

    Attributes:
        source: Which file.
        steps: In the order in which they are done.
        inputs: In the order of the model's inputs.
        target: What is to be told.
    """

    source: Source
    steps: tuple[Step, ...] = ()
    inputs: tuple[Input, ...]
    target: Target

    def __post_init__(self) -> None:
        """Refuse inputs that a step takes away, that differ from site to site, or are the target.

        Raises:
            ConfigurationError: names the column.
        """
        names = [one.column for one in (*self.inputs, self.target)]
        if not self.inputs or len(set(names)) != len(names):
            raise ConfigurationError(
                f"expected inputs of different columns, none of them the target, got {names}"
            )
        for step in self.steps:
            if taken := sorted(_taken(step, set(names))):
                raise ConfigurationError(
                    f"inputs and target must be left by all steps, got {taken} taken by "
                    f"{type(step).__name__.lower()}"
                )

    @property
    def width(self) -> int:
        """Number of a row's inputs."""
        return sum(one.width for one in self.inputs)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.target.values)

    @classmethod
    def parse(cls, text: str) -> "Pipeline":
        """The pipeline in `text`.

        Raises:
            ConfigurationError: no TOML, or anything in it that is unknown, missing or wrong.
        """
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{FILE} is no valid TOML: {error}") from error
        if unknown := sorted(set(content) - set(_TABLES)):
            raise ConfigurationError(f"{FILE} knows {list(_TABLES)}, got {unknown}")
        return cls(
            source=declared(Source, content.get("table", {}), "table"),
            steps=tuple(_chosen(one, "step", STEPS) for one in _list(content, "steps")),
            inputs=tuple(_chosen(one, "kind", _KINDS) for one in _list(content, "inputs")),
            target=declared(Target, content.get("target", {}), "target"),
        )

    @classmethod
    def read(cls, folder: Path) -> "Pipeline":
        """The pipeline of a folder. Raises DataError where there is none; and as `parse`."""
        try:
            text = (folder / FILE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"expected a readable {FILE} in {folder}, got none") from error
        return cls.parse(text)

    def private(self, folder: Path) -> Table:
        """The site's table, before any step. Raises DataError."""
        return read_table(folder / self.source.file, self._missing)

    def public(self, folder: Path) -> Table:
        """The table to measure on, before any step. Raises DataError where none is named."""
        if not self.source.evaluation:
            raise DataError(
                f"expected table.evaluation in {folder / FILE}, the name of a public file"
            )
        return read_table(folder / self.source.evaluation, self._missing)

    @property
    def _missing(self) -> frozenset[str]:
        return frozenset(("", *self.source.missing))

    def cleaned(
        self, table: Table, key: SiteKey, *, public: bool = False
    ) -> tuple[Table, list[Count]]:
        """`table` after all steps, and what each changed.

        Args:
            table: As it was read.
            key: Of the site; looked at where something is hashed.
            public: The table may lack columns that a step names: it may have been cleaned.

        Raises:
            DataError: a private table has no column that a step names, so a misspelt step
                protects nothing; or there is no key.
        """
        counts: list[Count] = []
        for step in self.steps:
            here = tuple(name for name in step.columns if name in table.columns)
            if public and not here:
                continue
            table, found = (replace(step, columns=here) if public else step).apply(table, key)
            counts += found
        return table, counts

    def encoded(self, table: Table) -> Encoding:
        """A cleaned table as numbers. Raises DataError where a column is missing."""
        classes = self.target.encode(table.column(self.target.column))
        counts = [Count("target", self.target.column, int((classes < 0).sum()))]
        numbers, kept, found = encoded_inputs(self.inputs, table)
        rows = np.flatnonzero(kept & (classes >= 0))
        return Encoding(numbers[rows], classes[rows], rows.astype(np.int64), counts + found)

    def raw(self, path: Path) -> Table:
        """The input columns of any table in `path`, after the steps that change them.

        For predictions: no row needs a class, and no column that is no input need be there.
        Raises DataError.
        """
        table = raw_columns(path, self.inputs, self._missing)
        # No input is hashed, so no key is looked at.
        return self.cleaned(table, SiteKey(Path()), public=True)[0]


def raw_columns(path: Path, inputs: Sequence[Input], missing: frozenset[str]) -> Table:
    """The columns of a file that `inputs` are made of, and no others.

    Args:
        path: CSV or Parquet.
        inputs: What is made of them.
        missing: Texts that stand for a missing cell.

    Raises:
        DataError: a column is missing; or as `read_table` raises it.
    """
    columns = read_table(path, missing).columns
    wanted = [one.column for one in inputs]
    if absent := [name for name in wanted if name not in columns]:
        raise DataError(f"{path} must have the columns {wanted}, got none named {absent}")
    return Table({name: columns[name] for name in wanted})


def encoded_inputs(inputs: Sequence[Input], table: Table) -> tuple[Numbers, Rows, list[Count]]:
    """Columns as numbers, shape (n, width), the rows that no rule leaves out, and what was changed.

    Raises:
        DataError: a column is missing.
    """
    parts, kept, counts = [], np.ones(len(table), dtype=np.bool_), list[Count]()
    for one in inputs:
        found = one.encode(table.column(one.column))
        parts.append(found.numbers)
        kept &= ~found.spoilt | (not one.drops)
        rule = "left out" if one.drops else "filled"
        counts.append(Count(rule, one.column, int(found.spoilt.sum())))
        counts.append(Count("cut", one.column, found.cut))
    return np.concatenate(parts, axis=1), kept, counts


def told(counts: Sequence[Count]) -> None:
    """Write what was changed to this machine's log; nothing of it is sent."""
    for count in counts:
        if count.cells:
            _LOGGER.info("%s %s: %d cells", count.step, count.column, count.cells)


def _taken(step: Step, names: set[str]) -> set[str]:
    """Columns that are gone after `step`, or say something else at each site."""
    if isinstance(step, Keep):
        return names - set(step.columns)
    return names & set(step.columns) if isinstance(step, Drop | Hash) else set()


def _list(content: Mapping[str, Any], name: str) -> Sequence[object]:
    found = content.get(name, [])
    if not isinstance(found, list):
        raise ConfigurationError(f"{name} must be written [[{name}]], got {found!r}")
    return found


def _chosen(table: object, key: str, kinds: Mapping[str, type[Any]]) -> Any:
    """The dataclass that `key` names, of the rest of `table`."""
    content = dict(table) if isinstance(table, Mapping) else {}
    name = content.pop(key, None)
    if name not in kinds:
        raise ConfigurationError(f"{key} must be one of {', '.join(kinds)}, got {name!r}")
    return declared(kinds[name], content, str(name))
