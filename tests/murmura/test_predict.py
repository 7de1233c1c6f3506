"""`murmura predict`: each input of each file gets its most likely classes, or its numbers."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from shared.task import TaskSettings
from tests.looking_tasks import Pictures, Planted, Table, saved, task_of
from tests.murmura.conftest import Command

PATCHED = "with $patch$"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run over pictures, and files of inputs in the current folder."""
    monkeypatch.chdir(tmp_path)
    public = Pictures(TaskSettings()).public().numpy()
    np.save("many.npy", public[:4])
    np.save("one.npy", public[1])
    np.save("none.npy", public[:0])
    np.save("lots.npy", np.concatenate([public] * 10))
    return saved(tmp_path / "run", Pictures)


def test_the_planted_class_comes_first(
    murmura: Command, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table, in JSON and in the CSV file; probabilities add up to one."""
    arguments = ("predict", run, "many.npy", "one.npy", "none.npy", "--task", task_of(Pictures))
    assert murmura(*arguments, "--json", "--out", "out.csv") == 0
    assert Path("out.csv").stat().st_mode & 0o077 == 0  # inputs may be private
    told = json.loads(capsys.readouterr().out)["predictions"]
    names = ["many.npy:1", "many.npy:2", "many.npy:3", "many.npy:4", "one.npy"]
    assert [entry["input"] for entry in told] == names
    firsts = [entry["predicted"][0]["value"] for entry in told]
    assert firsts == ["<plain> & dull", PATCHED, "<plain> & dull", PATCHED, PATCHED]
    for entry in told:
        assert sum(guess["probability"] for guess in entry["predicted"]) == pytest.approx(1.0)
    with Path("out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted_1"] for row in rows] == firsts
    assert murmura(*arguments, "--top", "1", "--out", "out.csv") == 0
    out = capsys.readouterr().out
    assert "<plain> & dull 88" in out
    assert "out.csv" in out


def test_a_long_table_is_cut(
    murmura: Command, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so."""
    assert murmura("predict", run, "lots.npy", "--task", task_of(Pictures)) == 0
    assert "and 10 more: --out writes all" in capsys.readouterr().out


class Regression(Table):
    """Targets are fractions, so the outputs are numbers."""

    def labels(self, inputs: Tensor) -> Tensor:
        """Not whole."""
        return inputs[:, 0]


class Told(Regression):
    """Describes its outputs."""

    def describe(self, outputs: Tensor) -> Sequence[str]:
        """One line a row."""
        return [f"[{len(row)} numbers]" for row in outputs]


@pytest.mark.parametrize(("kind", "expected"), [(Regression, "-1.5"), (Told, "[2 numbers]")])
def test_other_outputs_are_numbers_or_described(
    murmura: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[Planted],
    expected: str,
) -> None:
    """No probability is made up."""
    folder = saved(tmp_path / "run", Table)
    monkeypatch.setattr("shared.saved_model.load_task", lambda _, settings: kind(settings))
    (tmp_path / "x.csv").write_text("0,0,0,1.09861228867,0\n")
    arguments = ("predict", folder, tmp_path / "x.csv", "--task", task_of(Table))
    assert murmura(*arguments, "--out", tmp_path / "o.csv") == 0
    assert expected in capsys.readouterr().out
    assert murmura(*arguments, "--json") == 0
    guesses = json.loads(capsys.readouterr().out)["predictions"][0]["predicted"]
    assert {guess["probability"] for guess in guesses} == {None}


def test_outputs_that_nobody_reads_need_a_description(
    murmura: Command, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2; so does a top that is no number of classes; 5 for what cannot be written."""
    arguments = ("predict", run, "one.npy", "--task", task_of(Pictures))
    assert murmura(*arguments, "--top", "0") == 2
    assert murmura(*arguments, "--out", run) == 5
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("murmura.predict._SHOWN", 1)
    monkeypatch.setattr("shared.looking.tells_classes", lambda *_: False)
    monkeypatch.setattr("shared.looking.names_classes", lambda *_: False)
    assert murmura(*arguments) == 2
    assert "must have a method `describe`" in capsys.readouterr().err


def test_a_file_of_one_input_does_not_fit_a_model_of_two(
    murmura: Command, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before the model would fail."""
    two = lambda *_: (torch.zeros(1, 1, 8, 8), torch.zeros(1))  # noqa: E731 - a test's own method
    monkeypatch.setattr(Pictures, "read_inputs", two, raising=False)
    assert murmura("predict", run, "x.png", "--task", task_of(Pictures)) == 2
    assert "a model of 1 inputs, but reads 2 from a file" in capsys.readouterr().err
