"""The pipeline does what its file says, refuses what it does not know, and tells only the log."""

import logging
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.inputs import Category, Number
from shared.preprocessing.pipeline import Pipeline, told
from shared.preprocessing.site_key import SiteKey
from shared.preprocessing.steps import Count
from shared.preprocessing.table import Table
from tests.shared.preprocessing.pipelines import PIPELINE, made_folder


def test_a_table_is_cleaned_as_declared(tmp_path: Path) -> None:
    """Names are gone, numbers of patients are hashed, the rest is coarse; all of it is counted."""
    folder = made_folder(tmp_path / "site")
    pipeline = Pipeline.read(folder)
    table, counts = pipeline.cleaned(pipeline.private(folder), SiteKey(folder))
    assert set(table.columns) == {"patient", "age", "post", "seen", "note", "ill"}
    assert table.columns["patient"][0] == table.columns["patient"][2] != "1"
    assert table.columns["age"] == ["30", "90", None, "50"]
    assert table.columns["post"] == ["10", "20", "10", "80"]
    assert table.columns["seen"] == ["2024-03", "2024-04", None, "2023-12"]
    assert table.columns["note"] == ["write to <masked>", "none", None, "<masked> or <masked>"]
    found = {(count.step, count.column): count.cells for count in counts}
    assert found == {
        ("drop", "name"): 4,
        ("hash", "patient"): 4,
        ("band", "age"): 2,
        ("prefix", "post"): 4,
        ("date", "seen"): 4,
        ("mask", "note"): 2,
    }


def test_a_cleaned_table_becomes_numbers_by_public_constants(tmp_path: Path) -> None:
    """Rows without an age or a class of the list are left out; an unknown value has no 1."""
    folder = made_folder(tmp_path / "site")
    pipeline = Pipeline.read(folder)
    table, _ = pipeline.cleaned(pipeline.private(folder), SiteKey(folder))
    encoding = pipeline.encoded(table)
    assert (pipeline.width, pipeline.classes) == (3, 2)
    assert encoding.rows.tolist() == [0, 1]
    assert encoding.classes.tolist() == [0, 1]
    np.testing.assert_allclose(encoding.inputs, [[-0.4, 1, 0], [0.8, 0, 1]], atol=1e-6)
    told_of = {(one.step, one.column): one.cells for one in encoding.counts if one.cells}
    assert told_of == {("target", "ill"): 1, ("left out", "age"): 1, ("filled", "post"): 1}


def test_a_public_table_needs_neither_key_nor_dropped_columns(tmp_path: Path) -> None:
    """It may have been cleaned before; bands of bands are the same."""
    folder = made_folder(tmp_path / "server")
    (folder / "site.key").unlink()
    pipeline = Pipeline.read(folder)
    table, _ = pipeline.cleaned(pipeline.public(folder), SiteKey(folder), public=True)
    assert pipeline.encoded(table).classes.tolist() == [1, 0]
    with pytest.raises(DataError, match="expected a column 'name'"):
        pipeline.cleaned(pipeline.public(folder), SiteKey(folder))


def test_one_row_more_changes_no_other(tmp_path: Path) -> None:
    """Neighbouring tables give neighbouring examples, whatever the row holds."""
    folder = made_folder(tmp_path / "site")
    pipeline, key = Pipeline.read(folder), SiteKey(folder)
    whole = pipeline.private(folder)
    before = pipeline.encoded(pipeline.cleaned(whole, key)[0])
    for row in range(len(whole)):
        cells = {
            name: [*column[:row], *column[row + 1 :]] for name, column in whole.columns.items()
        }
        after = pipeline.encoded(pipeline.cleaned(Table(cells), key)[0])
        kept = before.rows != row
        np.testing.assert_array_equal(after.inputs, before.inputs[kept])
        np.testing.assert_array_equal(after.classes, before.classes[kept])


@pytest.mark.parametrize(
    ("number", "cells", "expected", "spoilt", "cut"),
    [
        (Number(column="a", low=0, high=10), ["5", "11", "x"], [0, 1, -1], [0, 0, 1], 1),
        (Number(column="a", low=0, high=10, missing=5.0), [None, "nan"], [0, 0], [1, 1], 0),
        (Number(column="a", low=1, high=100, scale="log"), ["10", "0"], [0, -1], [0, 0], 1),
    ],
)
def test_numbers_are_cut_to_their_range(
    number: Number, cells: list[str | None], expected: list[float], spoilt: list[int], cut: int
) -> None:
    """In [-1, 1], by public ends; what is no number is told."""
    found = number.encode(cells)
    np.testing.assert_allclose(found.numbers[:, 0], expected, atol=1e-6)
    assert found.spoilt.tolist() == [bool(one) for one in spoilt]
    assert found.cut == cut
    assert number.drops == (number.missing == "drop")


def test_a_category_may_take_its_row_along() -> None:
    """Where the file says so."""
    assert Category(column="a", values=("x",), missing="drop").drops
    assert not Category(column="a", values=("x",)).drops


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[table]", "[[table]]", "table must be a table, got list"),
        ("[[steps]]", "[[stepz]]", "knows .*, got \\['stepz'\\]"),
        ("[table]", "[table", "no valid TOML"),
        ('step = "drop"', 'step = "erase"', "step must be one of band, .* got 'erase'"),
        ('step = "drop"', "", "step must be one of .* got None"),
        ("width = 10", 'width = "ten"', "band.width must be float, got 'ten'"),
        ("width = 10", "width = 0", "band.width must be positive"),
        ("width = 10", "", "band needs \\['width'\\]"),
        ("width = 10", "widht = 10", "band knows .*, got \\['widht'\\]"),
        ("width = 10", "width = true", "band.width must be float"),
        ("length = 2", "length = 2.0", "prefix.length must be int"),
        ('columns = ["name"]', "columns = []", "drop.columns must be a list of texts"),
        ('columns = ["name"]', "columns = [1]", "drop.columns must be a list of texts"),
        ('columns = ["name"]', 'columns = ["age"]', "must be left by all steps, got \\['age'\\]"),
        ('columns = ["patient"]', 'columns = ["ill"]', "\\['ill'\\] taken by hash"),
        ('step = "drop"', 'step = "keep"', "\\['age', 'ill', 'post'\\] taken by keep"),
        ('column = "post"', 'column = "age"', "inputs of different columns"),
        ('column = "post"', 'column = "ill"', "none of them the target"),
        ("high = 100", "high = 0", "low must be below high"),
        ("high = 100", "high = inf", "low must be below high"),
        ("high = 100", 'high = 100\nscale = "log"', "needs low above 0"),
        ("high = 100", 'high = 100\nmissing = "mean"', "must be 'drop' or a number"),
        ("high = 100", "high = 100\nmissing = true", "missing must be float or str"),
        ('["10", "20"]', '["10", "10"]', "values must be different"),
        ('["no", "yes"]', '["no"]', "expected classes"),
        ('"people.csv"', '"../people.csv"', "a file in the folder"),
    ],
)
def test_what_a_file_may_not_say_is_refused(old: str, new: str, message: str) -> None:
    """Unknown steps, keys and types; and whatever would let a taken column in again."""
    assert old in PIPELINE
    with pytest.raises(ConfigurationError, match=message):
        Pipeline.parse(PIPELINE.replace(old, new, 1))


def test_lists_and_inputs_must_be_there() -> None:
    """A table where a list of tables belongs, or no input at all."""
    with pytest.raises(ConfigurationError, match=r"must be written \[\[steps\]\]"):
        Pipeline.parse("[table]\nfile='a.csv'\n[steps]\na = 1")
    with pytest.raises(ConfigurationError, match="expected inputs"):
        Pipeline.parse('[table]\nfile="a.csv"\n[target]\ncolumn="a"\nvalues=["0","1"]')


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """The file, or the public table."""
    with pytest.raises(DataError, match=r"expected a readable pipeline\.toml"):
        Pipeline.read(tmp_path)
    pipeline = Pipeline.parse(PIPELINE.replace('evaluation = "public.csv"', ""))
    with pytest.raises(DataError, match=r"expected table\.evaluation"):
        pipeline.public(tmp_path)


def test_counts_go_to_the_log_and_no_cell_with_them(caplog: pytest.LogCaptureFixture) -> None:
    """Only of what was changed."""
    with caplog.at_level(logging.INFO, "murmura.preprocessing"):
        told([Count("drop", "name", 4), Count("mask", "note", 0)])
    assert caplog.messages == ["drop name: 4 cells"]
