"""How far the newest run is, from files that another process is writing."""

import json
import os
from pathlib import Path

import pytest

from server import run_numbers
from server.run_numbers import newest_run

LINE = {"round": 2, "asked": 4, "answered": 3, "epsilon": 1.5}
CONFIG = {"rounds": {"value": 9}, "privacy.epsilon_budget": {"value": 8.0}}


def made(folder: Path, name: str, *lines: str, age: int = 0) -> Path:
    """A run folder."""
    run = folder / name
    run.mkdir()
    (run / "config.json").write_text(json.dumps(CONFIG))
    (run / "metrics.jsonl").write_text("".join(lines))
    os.utime(run / "metrics.jsonl", (1e9 - age, 1e9 - age))
    return run


def test_the_newest_run_is_told(tmp_path: Path) -> None:
    """By its last whole line; a torn one is still being written."""
    assert newest_run(tmp_path) is None
    made(tmp_path, "old", json.dumps(LINE | {"round": 9}) + "\n", age=60)
    made(tmp_path, "new", json.dumps(LINE | {"round": 1}) + "\n", json.dumps(LINE) + "\n", '{"ro')
    assert newest_run(tmp_path) == {
        "run": "new", "round": 2, "rounds": 9, "asked": 4, "survivors": 3, "epsilon": 1.5,
        "epsilon_budget": 8.0,
    }  # fmt: skip


def test_without_privacy_there_is_no_epsilon(tmp_path: Path) -> None:
    """It is infinite, which JSON does not know."""
    made(tmp_path, "run", json.dumps(LINE | {"epsilon": "inf"}) + "\n")
    found = newest_run(tmp_path)
    assert found is not None
    assert "epsilon" not in found


@pytest.mark.parametrize("line", ["", "{}\n", "[]\n", "no\n", '{"round": "x"}\n'])
def test_a_folder_of_another_form_counts_as_none(tmp_path: Path, line: str) -> None:
    """Nothing that is looked at ends the server."""
    made(tmp_path, "run", line)
    assert newest_run(tmp_path) is None


def test_a_folder_that_goes_away_is_none(tmp_path: Path) -> None:
    """Between two looks."""
    assert run_numbers._written(tmp_path / "gone") == 0.0
