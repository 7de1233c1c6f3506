"""Tables are read whole or refused, and no message holds a cell."""

import datetime as dt
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.table import Table, read_table

MISSING = frozenset({"", "NA"})


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    """A file of `content`."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_csv_file_is_read_as_text(tmp_path: Path) -> None:
    """Blanks around cells and empty lines count for nothing; a mark at the beginning neither."""
    path = written(tmp_path, '\ufeffa, b\n 1 ,"x, y"\n\nNA,\n')
    table = read_table(path, MISSING)
    assert table.columns == {"a": ["1", None], "b": ["x, y", None]}
    assert len(table) == 2
    assert len(Table({})) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line of different names"),
        ("a,a\n1,2\n", "line of different names"),
        ("a,\n1,2\n", "line of different names"),
        ("a,b\n1,2\nsecret\n", "line 3 must have 2 cells, got 1"),
        (b"a\n\xffsecret\n", "no CSV in UTF-8"),
        ('a\n"secret\n', "no CSV in UTF-8"),
    ],
)
def test_a_damaged_file_is_refused_without_a_cell_in_the_message(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    """It names the file and the line."""
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path, MISSING)
    assert "secret" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A file, and a column."""
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read: No such file"):
        read_table(tmp_path / "nowhere.csv", MISSING)
    with pytest.raises(DataError, match="expected a column 'b', got \\['a'\\]"):
        Table({"a": ["1"]}).column("b")


def test_a_parquet_file_gives_the_same_text(tmp_path: Path) -> None:
    """Numbers, truth values, dates, and what is missing."""
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    columns = {
        "n": [1, None],
        "x": [0.5, float("nan")],
        "t": [True, False],
        "d": [dt.date(2024, 3, 17), None],
        "s": ["NA", "b"],
    }
    parquet.write_table(pa.table(columns), path)
    assert read_table(path, MISSING).columns == {
        "n": ["1", None],
        "x": ["0.5", None],
        "t": ["true", "false"],
        "d": ["2024-03-17", None],
        "s": [None, "b"],
    }
    parquet.write_table(pa.table({"l": [[1], [2]]}), path)
    with pytest.raises(DataError, match="texts, numbers and dates, got list"):
        read_table(path, MISSING)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    """By name."""
    path = written(tmp_path, "PAR1 but no more", "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet"):
        read_table(path, MISSING)


def test_parquet_names_the_extra_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is not installed."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"\.\[tables\]"):
        read_table(tmp_path / "t.parquet", MISSING)
