"""What a step takes away is nowhere in the result, and what it changed is counted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.steps import Band, Count, Date, Drop, Hash, Keep, Mask, Prefix, Step
from shared.preprocessing.table import Table

CELLS = st.lists(st.none() | st.text(min_size=1), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SiteKey:
    """A site's."""
    return new_key(tmp_path_factory.mktemp("site"))


def new_key(folder: Path) -> SiteKey:
    """Another site's."""
    made = SiteKey(folder)
    made.make()
    return made


def changed(step: Step, cells: list[str | None], key: SiteKey) -> tuple[list[str | None], int]:
    """The column `a` after the step, and how many cells it counts."""
    table, counts = step.apply(Table({"a": cells, "b": ["x"] * len(cells)}), key)
    assert table.columns["b"] == ["x"] * len(cells)
    ((column, count),) = ((one.column, one.cells) for one in counts)
    assert column == "a"
    return list(table.columns["a"]), count


@given(cells=CELLS)
@pytest.mark.parametrize("step", [Drop(columns=("a",)), Keep(columns=("b",))])
def test_a_dropped_column_is_nowhere_in_the_result(
    step: Drop | Keep, key: SiteKey, cells: list[str | None]
) -> None:
    """Neither its name nor a cell."""
    table, counts = step.apply(Table({"a": cells, "b": ["x"] * len(cells)}), key)
    assert table.columns == {"b": ["x"] * len(cells)}
    present = sum(cell is not None for cell in cells)
    assert counts == [Count(type(step).__name__.lower(), "a", present)]


@given(cells=CELLS)
def test_a_hash_is_stable_at_a_site(key: SiteKey, cells: list[str | None]) -> None:
    """Equal cells are equal, others are not, missing ones stay missing; no cell is left."""
    first, count = changed(Hash(columns=("a",)), cells, key)
    again, _ = changed(Hash(columns=("a",)), cells, key)
    assert first == again
    assert count == sum(cell is not None for cell in cells)
    pairs = dict(zip(cells, first, strict=True))
    assert len(set(pairs.values())) == len(pairs)
    assert pairs.get(None) is None
    assert all(len(found) == 32 for found in first if found is not None)


def test_a_hash_differs_between_sites_and_columns(key: SiteKey, tmp_path: Path) -> None:
    """So nobody can join two tables by it."""
    other = new_key(tmp_path)
    here, _ = changed(Hash(columns=("a",)), ["Ada"], key)
    there, _ = changed(Hash(columns=("a",)), ["Ada"], other)
    both, _ = Hash(columns=("a", "b")).apply(Table({"a": ["Ada"], "b": ["Ada"]}), key)
    assert here != there
    assert both.columns["a"] != both.columns["b"]


@pytest.mark.parametrize(
    ("step", "cells", "expected", "count"),
    [
        (Band(columns=("a",), width=10.0), ["37", "40", "-1", None], ["30", "40", "-10", None], 2),
        (Band(columns=("a",), width=2.5, highest=9.0), ["6.3", "95"], ["5", "7.5"], 2),
        (Band(columns=("a",), width=5.0), ["old", "inf"], [None, None], 2),
        (Prefix(columns=("a",), length=2), ["10115", "1", None], ["10", "1", None], 1),
        (Date(columns=("a",)), ["2024-03-17", "2024-03-17T08:00:00+01:00"], ["2024-03"] * 2, 2),
        (Date(columns=("a",), to="year"), ["2024-03-17", "17.3.2024"], ["2024", None], 2),
        (Mask(columns=("a",), pattern="e-mail"), ["to a.b@c.de!", "no"], ["to <masked>!", "no"], 1),
        (Mask(columns=("a",), pattern="phone"), ["+49 (0)30 123-456"], ["<masked>"], 1),
        (Mask(columns=("a",), pattern="url"), ["see https://a.b/c d"], ["see <masked> d"], 1),
        (Mask(columns=("a",), pattern="number", replacement=r"\1"), ["in 12"], [r"in \1"], 1),
        (Mask(columns=("a",), pattern="Dr [A-Z]\\w+"), ["by Dr Who"], ["by <masked>"], 1),
    ],
)
def test_cells_are_generalised_or_become_missing(
    key: SiteKey, step: Step, cells: list[str | None], expected: list[str | None], count: int
) -> None:
    """What a rule does not apply to does not pass as it was."""
    assert changed(step, cells, key) == (expected, count)


def test_a_pattern_that_is_none_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(ConfigurationError, match="e-mail, number, phone, url"):
        Mask(columns=("a",), pattern="(")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """Another would make hashes that mean nothing beside the first."""
    made = new_key(tmp_path)
    assert len(made.bytes()) == 32
    with pytest.raises(DataError, match="expected no key"):
        made.make()


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0o600, "expected a key in .*, got none"),
        (b"\xff", 0o600, "expected a key in .*, got none"),
        (b"ab" * 32, 0o644, "readable by its owner alone"),
        (b"ab" * 31, 0o600, "64 hexadecimal digits"),
        (b"xy" * 32, 0o600, "64 hexadecimal digits"),
    ],
)
def test_a_key_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, message: str
) -> None:
    """Missing, read by others, or of another form; no message holds it."""
    if content is not None:
        (tmp_path / "site.key").write_bytes(content)
        (tmp_path / "site.key").chmod(mode)
    with pytest.raises(DataError, match=message) as caught:
        SiteKey(tmp_path).bytes()
    assert "abab" not in str(caught.value)
