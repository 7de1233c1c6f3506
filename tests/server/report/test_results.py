"""The model file is a function of model and claims; the summary of the run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors

from server.report.build import build_report
from server.report.results import build_summary, model_bytes, write_results
from server.run_folder import RunFolder
from tests.server.fake_grid import vector
from tests.server.report.outcomes import UNITS, outcome


def content(unit: str = "client") -> bytes:
    """The model file of a toy run."""
    return b"".join(model_bytes(torch.nn.Linear(1, 1), vector(0.25, -0.5), outcome(UNITS[unit])))


def test_the_model_file_has_the_same_bytes_every_time() -> None:
    """The library alone writes metadata in another order each time."""
    assert len({content() for _ in range(20)}) == 1


def test_the_model_file_holds_the_trained_tensors_under_their_names(tmp_path: Path) -> None:
    """Readable by the library itself, loadable into the model."""
    tensors = load_tensors(content())
    model = torch.nn.Linear(1, 1)
    model.load_state_dict(tensors)
    assert (model.weight.item(), model.bias.item()) == (0.25, -0.5)
    folder = RunFolder(tmp_path)
    write_results(folder, outcome(), model, vector(0.25, -0.5))
    with safe_open(str(tmp_path / "model.safetensors"), framework="pt") as file:
        assert sorted(file.keys()) == ["bias", "weight"]
        assert file.metadata()["unit"] == "client"


@pytest.mark.parametrize("unit", UNITS)
def test_the_model_file_carries_its_claims_and_nothing_of_the_run(
    unit: str, tmp_path: Path
) -> None:
    """What was promised travels with the model; name and time of the run do not."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content(unit))
    found = outcome(UNITS[unit])
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata.pop("epsilon")) == {
        claim.adversary: claim.to_json()["epsilon"] for claim in found.claims
    }
    assert metadata == {
        "task": found.config.task,
        "model": "",
        "rounds": "2",
        "unit": found.plan.mechanism.unit,
        "adjacency": found.plan.mechanism.adjacency.value,
        "delta": "1e-05",
        "plan_digest": found.plan.digest(),
        "seeded": "true",
    }


def test_the_summary_is_strict_json_with_claims_and_files(tmp_path: Path) -> None:
    """What `--json` prints."""
    report = build_report(outcome(), "run-1")
    summary = build_summary(RunFolder(tmp_path), outcome(), report, clients_lost=4, seconds=1.23456)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["status"] == "finished"
    assert (summary["accuracy"], summary["loss"]) == (0.75, 0.5)
    assert (summary["rounds"], summary["clients_lost"], summary["seconds"]) == (2, 4, 1.235)
    assert summary["model_file"] == str(tmp_path / "model.safetensors")
    assert [claim["adversary"] for claim in summary["claims"]] == [
        "server_each_update", "every_global_model", "released_model",
    ]  # fmt: skip
    keys = {"unit", "epsilon", "delta", "no_amplification_epsilon"}
    assert all(keys <= claim.keys() for claim in summary["claims"])
    assert summary["verdict"]["level"] == "not_private"
    assert summary["seeded"] is True


def test_a_loss_beyond_numbers_is_no_number(tmp_path: Path) -> None:
    """Strict JSON has no NaN."""
    found = outcome(loss=float("nan"))
    report = build_report(found, "run-1")
    summary = build_summary(RunFolder(tmp_path), found, report, clients_lost=0, seconds=0)
    assert summary["loss"] is None
