"""The picture of who holds what."""

import json
from pathlib import Path

import pytest

from murmura import holdings
from shared.config import RunConfig
from shared.errors import DataError
from tests.murmura.conftest import Command

DIGITS = RunConfig.from_run_config(
    {"task": "digits", "population.size": 3, "population.examples_per_client": 20}
)


def test_a_picture_of_the_partition_is_drawn_without_training(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One HTML file, where it was asked for; stdout says where."""
    path = tmp_path / "who.html"
    few = ("-c", "population.size=3", "-c", "population.examples_per_client=20")
    assert murmura("holdings", "--task", "digits", *few, "--out", path) == 0
    assert "<html" in path.read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"who holds what: {path}\n"
    assert murmura("holdings", "--task", "digits", *few, "--out", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"picture": str(path)}


def test_the_split_of_a_task_of_one_s_own_is_computed_for_it(
    murmura: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are all that it must offer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool_of_mine.py").write_text(
        "import torch\n"
        "class MyTask:\n"
        "    def __init__(self, settings): pass\n"
        "    def training_labels(self): return torch.arange(40) % 2\n"
    )
    few = ("-c", "population.size=2", "-c", "population.examples_per_client=0")
    assert murmura("holdings", "--task", "pool_of_mine:MyTask", *few) == 0
    assert (tmp_path / "holdings.html").exists()


def test_a_task_without_a_common_pool_has_nothing_to_draw(
    murmura: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Said clearly; the task comes from the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites_of_mine.py").write_text("class MyTask:\n    def __init__(self, _): pass\n")
    assert murmura("holdings", "--task", "sites_of_mine:MyTask") == 2
    assert "has no common pool" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_missing_data_exit_with_5(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a run."""
    nowhere = tmp_path / "nowhere"
    assert murmura("holdings", "--task", "fashion_mnist", "--data-dir", nowhere) == 5
    assert capsys.readouterr().err.startswith("error: ")


def test_a_finished_run_gets_its_picture(tmp_path: Path) -> None:
    """Beside its results."""
    assert holdings.add_holdings(DIGITS, tmp_path / "holdings.html")
    assert (tmp_path / "holdings.html").exists()


def test_a_picture_that_fails_costs_a_finished_run_a_warning_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The model and the report are there already."""

    def fail(_config: RunConfig, _path: Path) -> bool:
        raise DataError("the data are gone")

    monkeypatch.setattr(holdings, "draw_holdings", fail)
    assert not holdings.add_holdings(DIGITS, tmp_path / "holdings.html")
    assert "no picture of who holds what: the data are gone" in caplog.text
