"""The worked example of docs/own-task.md runs as it stands."""

import json
import re
from pathlib import Path

import pytest

from simulations.federation import simulate

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-task.md"


@pytest.mark.integration
def test_the_documented_task_learns_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code block is saved, named as module:object, and trained with its documented settings."""
    text = DOCUMENT.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    (tmp_path / "my_task.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = dict(re.findall(r"-c ([a-z_.]+)=(\d+)", text))
    raw = {key: int(value) for key, value in settings.items()}
    assert raw["population.size"] == 4
    run = simulate(
        raw
        | {
            "task": "my_task:MyTask",
            "seed": 3,
            "rounds": 20,
            "privacy.epsilon_budget": 100.0,
            "output.dir": str(tmp_path),
            "output.run_id": "own",
            "output.tensorboard": False,
        }
    )
    summary = json.loads((run / "summary.json").read_text())
    # About half of the points lie inside, so guessing one class reaches 0.52.
    assert summary["accuracy"] > 0.7
