"""The worked example of docs/own-task.md runs as it stands, in this process and on SuperNodes."""

import json
import re
import sys
from pathlib import Path

import pytest

from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.real_sites import documented_task
from tests.integration.test_two_transports import both_ways

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-task.md"
SHORT = 60  # lines, at most: that is what is promised of a task of one's own


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Scalar]:
    """The code block is saved, named as module:object; with the documented settings."""
    name = documented_task(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    # Another test may have loaded it from a folder of its own.
    monkeypatch.delitem(sys.modules, name.partition(":")[0], raising=False)
    settings = re.findall(r"-c ([a-z_.]+)=(\d+)", DOCUMENT.read_text(encoding="utf-8"))
    found: dict[str, Scalar] = {key: int(value) for key, value in settings}
    assert found["population.size"] == 4
    return found | {
        "task": name,
        "seed": 3,
        "privacy.epsilon_budget": 100.0,
        "output.run_id": "two-transports",
        "output.tensorboard": False,
    }


@pytest.mark.integration
def test_the_documented_task_learns_in_one_file(tmp_path: Path, config: dict[str, Scalar]) -> None:
    """Which is as short as it is said to be."""
    assert len((tmp_path / "my_task.py").read_text().splitlines()) < SHORT
    run = simulate(config | {"rounds": 20, "output.dir": str(tmp_path)})
    summary = json.loads((run / "summary.json").read_text())
    # About half of the points lie inside, so guessing one class reaches 0.52.
    assert summary["accuracy"] > 0.7


@pytest.mark.integration
@pytest.mark.slow
def test_the_documented_task_trains_the_same_model_bytes_on_two_supernodes(
    tmp_path: Path, config: dict[str, Scalar]
) -> None:
    """It travels with the app; no node has it before, on no path."""
    shared = {"population.size": 2, "rounds": 2, "audit.canaries": 0}
    both_ways(config | shared, tmp_path, tmp_path / "my_task.py")
