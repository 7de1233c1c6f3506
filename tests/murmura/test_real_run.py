"""The whole command on a small federation, nothing pretended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = (
    "--task=digits",
    "--rounds=2",
    "--seed=1",
    "-cpopulation.size=2",
    "-cpopulation.examples_per_client=100",
    "-ctraining.batch_size=20",
    "-cruntime.device=cpu",
)


def murmura(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, in `folder`."""
    code = "import sys; from murmura.cli import main; sys.exit(main())"
    return subprocess.run(  # noqa: S603 - this interpreter, our own code
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.integration
def test_a_small_federation_runs_and_its_result_is_the_last_line_of_stdout(tmp_path: Path) -> None:
    """Every promise of `--json`: one object, progress on stderr, no chatter of libraries."""
    done = murmura(tmp_path, "simulate", *SMALL, "--json", "--run-id=small")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    folder = tmp_path / "runs" / "small"
    assert json.loads(lines[0]) == json.loads((folder / "summary.json").read_text())
    assert (folder / "holdings.html").exists()
    origins = json.loads((folder / "config.json").read_text())
    assert origins["rounds"] == {"value": 2, "origin": "--rounds"}
    assert origins["population.size"] == {"value": 2, "origin": "-c"}
    starts = ("run ", "task ", "planned", "seeded", "round 1/2", "round 2/2")
    assert [line for line in done.stderr.splitlines() if not line.startswith(starts)] == []


@pytest.mark.slow
@pytest.mark.integration
def test_a_plan_beyond_its_budget_is_refused_with_3(tmp_path: Path) -> None:
    """Before anything is trained."""
    done = murmura(tmp_path, "simulate", *SMALL, "-cprivacy.epsilon_budget=0.01")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
