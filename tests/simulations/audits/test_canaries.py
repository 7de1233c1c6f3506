"""Canaries in a run: a bound below the claim on sound code, above it with half the noise."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import client.dp_optimizer
import server.aggregation
from shared.config import Scalar
from shared.dp.noise import gaussian_noise
from shared.dp.randomness import RandomStream
from shared.dp.witness import installed
from shared.errors import TooFewSurvivors
from simulations.faults import Fault, ScriptedFaults
from simulations.federation import simulate

FULL: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 20,
    "seed": 3,
    "population.size": 3,
    "population.examples_per_client": 50,
    "training.batch_size": 50,
    "training.sample_rate": 1.0,
    "training.learning_rate": 0.1,
    "privacy.noise_multiplier": 3.16,
    "privacy.epsilon_budget": 50.0,
    "privacy.delta": 1e-5,
    "runtime.evaluate_every": 100,
    "output.run_id": "run",
    "output.tensorboard": False,
}


def audits(folder: Path, **changes: Scalar) -> tuple[float, dict[str, dict[str, object]]]:
    """The claim and the audits of a run."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    run = simulate(FULL | {"output.dir": str(folder)} | keys)
    report = json.loads((run / "report.json").read_text())
    claim = min(float(c["epsilon"]) for c in report["claims"])
    return claim, {audit["name"]: audit for audit in report["audit"]}


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["record", "client"])
def test_the_bound_lies_between_a_third_of_the_claim_and_the_claim(
    tmp_path: Path, unit: str
) -> None:
    """With everybody in every sum; nothing stays installed."""
    claim, found = audits(tmp_path, privacy__unit=unit)
    bound = float(str(found["canaries, Gaussian trade-off"]["result"]))
    assert claim / 3 <= bound <= claim
    assert all(audit["passed"] for audit in found.values())
    assert installed() is None


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_quarter_of_the_noise_exceeds_the_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """A3 alone catches it: AUDIT_EXCEEDS_CLAIM in the report."""
    true = gaussian_noise

    def less(count: int, stddev: float, *, stream: RandomStream) -> NDArray[np.float64]:
        return true(count, stddev / 4, stream=stream)

    monkeypatch.setattr(client.dp_optimizer, "gaussian_noise", less)
    monkeypatch.setattr(server.aggregation, "gaussian_noise", less)
    _, found = audits(tmp_path, privacy__unit=unit)
    assert not found["canaries, Gaussian trade-off"]["passed"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert "AUDIT_EXCEEDS_CLAIM" in {p["code"] for p in report["verdict"]["problems"]}
    assert report["verdict"]["level"] == "not_private"


@pytest.mark.no_cover
def test_a_resumed_run_goes_on_to_the_same_bytes_and_says_what_its_audit_covers(
    tmp_path: Path,
) -> None:
    """Canaries are drawn from the seed; the scores of before are gone, and the report says so."""
    config = FULL | {"rounds": 4}
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    parts = config | {"output.dir": str(tmp_path / "parts")}
    faults = ScriptedFaults({(i, "3"): Fault.UNAVAILABLE for i in range(3)})
    with pytest.raises(TooFewSurvivors):
        simulate(parts, faults=faults)
    assert installed() is None
    resumed = simulate(parts | {"output.resume": True})
    model = "model.safetensors"
    assert (resumed / model).read_bytes() == (whole / model).read_bytes()
    found = json.loads((resumed / "report.json").read_text())["audit"]
    assert all("rounds 3 to 4" in audit["threat_model"] for audit in found)


def test_no_canaries_are_put_in_where_none_are_asked_for(tmp_path: Path) -> None:
    """And the report holds no audit."""
    _, found = audits(tmp_path, audit__canaries=0, rounds=1)
    assert found == {}
