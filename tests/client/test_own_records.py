"""The owner's own records and files: read as a site reads them, refused where they do not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from client.own_records import own_inputs, own_records
from shared.errors import ConfigurationError, DataError, FederationError
from shared.task import Examples, TaskSettings
from shared.tasks.digits import Digits
from tests.looking_tasks import Pictures, Table, Texts


def test_records_are_all_that_the_folder_holds(tmp_path: Path) -> None:
    """As at a real site: no partition. An empty folder is said."""
    task = Table(TaskSettings(data_dir=tmp_path))
    assert len(own_records(task)) == 2
    with pytest.raises(DataError, match="got none"):
        own_records(Table(TaskSettings(data_dir=tmp_path / "empty")))


def test_arrays_are_inputs_as_they_are(tmp_path: Path) -> None:
    """One or many; of the task's type."""
    rows = Table(TaskSettings()).public()
    np.save(tmp_path / "many.npy", rows.numpy())
    np.save(tmp_path / "one.npy", rows[0].numpy())
    assert torch.equal(own_inputs(Table(TaskSettings()), tmp_path / "many.npy").inputs[0], rows)
    assert torch.equal(own_inputs(Table(TaskSettings()), tmp_path / "one.npy").inputs[0], rows[:1])
    tokens = Texts(TaskSettings()).public()
    np.save(tmp_path / "tokens.npy", tokens.numpy())
    found = own_inputs(Texts(TaskSettings()), tmp_path / "tokens.npy").inputs[0]
    assert found.dtype == torch.int64
    assert torch.equal(found, tokens)


@pytest.mark.parametrize("title", ["", "a,b,c,d,e\n"])
def test_a_table_of_numbers_may_have_a_title(tmp_path: Path, title: str) -> None:
    """A row of the task's width for each line."""
    (tmp_path / "x.csv").write_text(title + "1,2,3,4,5\n6,7,8,9,10\n")
    found = own_inputs(Table(TaskSettings()), tmp_path / "x.csv").inputs[0]
    assert found.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]


def test_a_task_reads_its_own_kinds_of_files(tmp_path: Path) -> None:
    """Pictures here; any other task says what it reads."""
    with pytest.raises(DataError, match="expected a picture"):
        own_inputs(Digits(TaskSettings()), tmp_path / "x.png")
    with pytest.raises(ConfigurationError, match="files of numbers"):
        own_inputs(Table(TaskSettings()), tmp_path / "x.png")


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Missing, damaged, pickled, of another width, of more inputs, with numbers that are none."""
    np.save(tmp_path / "wide.npy", np.zeros((2, 6)))
    np.save(tmp_path / "nan.npy", np.full((2, 5), np.nan))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.savez(tmp_path / "several.npz", np.zeros(5))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    (tmp_path / "wide.csv").write_text("1,2,3,4,5,6\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    names = ["wide.npy", "nan.npy", "text.npy", "objects.npy", "several.npy", "words.csv"]
    for name in [*names, "wide.csv", "missing.csv", "missing.npy", "empty.npy"]:
        with pytest.raises(DataError, match=name):
            own_inputs(Table(TaskSettings()), tmp_path / name)


def test_a_file_of_one_input_does_not_fit_a_model_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before the model would fail."""
    two = Examples((torch.zeros(1, 1, 8, 8), torch.zeros(1)), torch.zeros(1).long())
    monkeypatch.setattr(Pictures, "evaluation_data", lambda self: two)  # noqa: ARG005 - a method
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8)))
    with pytest.raises(FederationError, match="the model takes 2"):
        own_inputs(Pictures(TaskSettings()), tmp_path / "x.npy")
