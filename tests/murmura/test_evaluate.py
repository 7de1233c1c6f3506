"""`murmura evaluate`: the numbers of the run again; of own records with a warning."""

import json
from pathlib import Path

import pytest

from tests.looking_tasks import Table, saved, task_of
from tests.murmura.conftest import Command


@pytest.mark.slow
def test_the_public_numbers_are_those_of_the_run(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last digit; the folder and the file alone agree."""
    from simulations.federation import simulate
    from tests.server.report.runs import RUN

    run = simulate(RUN | {"output.dir": str(tmp_path), "rounds": 2, "audit.canaries": 0})
    summary = json.loads((run / "summary.json").read_text())
    for place in (run, run / "model.safetensors"):
        assert murmura("evaluate", place, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["loss"], told["metrics"]) == (summary["loss"], summary["metrics"])
        assert (told["private"], told["warning"]) == (False, "")
        assert told["epsilon"]["released_model"] == summary["claims"][-1]["epsilon"]


def test_own_records_are_warned_about(
    murmura: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On stderr and in the JSON, only with --data; a task's scores are of public data alone."""
    monkeypatch.setattr(Table, "scores", lambda *_: {"overlap": 0.25}, raising=False)
    run = saved(tmp_path / "run", Table)
    assert murmura("evaluate", run, "--task", task_of(Table), "--data", tmp_path, "--json") == 0
    told = capsys.readouterr()
    assert "must not leave" in " ".join(told.err.split())
    content = json.loads(told.out)
    assert content["private"]
    assert "must not leave" in content["warning"]
    assert (content["examples"], content["metrics"]) == (2, {"accuracy": 1.0, "one": 1.0})
    assert murmura("evaluate", run, "--task", task_of(Table)) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "6 of the public evaluation data" in told.out
    assert "accuracy  100.0 %" in told.out
    said = "for one record, add or remove one, against the holder of the final model"
    assert said in " ".join(told.out.split())
    assert "2.50 at" in told.out
    assert "overlap" in told.out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("none",), 5), (("run",), 2), (("run", "--task", "digits"), 5),
     (("run", "--task", task_of(Table), "--data", "empty"), 5),
     (("run", "--task", task_of(Table), "--device", "abacus"), 2)],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_said(
    murmura: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    status: int,
) -> None:
    """No run; a task that is not named; another task; no records; no such device."""
    saved(tmp_path / "run", Table, seeded="true")
    monkeypatch.chdir(tmp_path)
    assert murmura("evaluate", *arguments) == status
