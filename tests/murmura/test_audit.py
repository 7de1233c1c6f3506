"""`murmura audit`: the exit status says whether everything that was measured held."""

import json
from pathlib import Path

import pytest

import client.dp_optimizer
import simulations.audits.mechanism_audit
from murmura.cli import main
from shared.dp.noise import gaussian_noise
from simulations.federation import simulate


@pytest.fixture(autouse=True)
def fewer_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instead of ten."""
    true = simulations.audits.mechanism_audit.audit_mechanism
    monkeypatch.setattr(
        simulations.audits.mechanism_audit, "audit_mechanism", lambda plan: true(plan, trials=1500)
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_run_is_audited_and_its_report_says_so(
    tmp_path: Path, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A1 and A2 are written beside what the run recorded; twice is no more than once."""
    run = simulate(
        {"task": "digits", "rounds": 1, "population.size": 2, "output.dir": str(tmp_path),
         "privacy.unit": unit, "population.examples_per_client": 50}
    )  # fmt: skip
    for arguments in ([], ["--json"]):
        assert main(["audit", str(run), *arguments]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])["audit"]
    assert printed == json.loads((run / "report.json").read_text())["audit"]
    names = [entry["name"] for entry in printed]
    assert len(names) == len(set(names))
    assert {"mechanism", "noise and sampling", "record and replay"} <= set(names)


@pytest.mark.parametrize("unit", ["record", "client"])
def test_of_noise_that_all_share_in_no_audit_of_other_noise_is_told(
    tmp_path: Path, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step is replayed; a bound of noise that the run did not have would mean nothing."""
    run = simulate(
        {"task": "digits", "rounds": 1, "population.size": 3, "output.dir": str(tmp_path),
         "privacy.unit": unit, "privacy.noise": "distributed", "privacy.epsilon_budget": 1e3,
         "population.examples_per_client": 50, "audit.canaries": 0}
    )  # fmt: skip
    assert main(["audit", str(run), "--json"]) == 0
    printed = capsys.readouterr()
    assert "noise that all share in is not measured here" in printed.err
    found = json.loads(printed.out.splitlines()[-1])["audit"]
    assert [entry["name"] for entry in found] == ["record and replay"]


@pytest.mark.no_cover
def test_half_the_noise_is_exit_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """And on sound code 0."""
    assert main(["audit", "--mechanism"]) == 0
    monkeypatch.setattr(
        client.dp_optimizer,
        "gaussian_noise",
        lambda n, s, *, stream: gaussian_noise(n, s / 2, stream=stream),
    )
    assert main(["audit", "--mechanism"]) == 3
    assert main(["audit", "--task", "digits"]) == 3


def test_nothing_to_audit_is_a_mistake() -> None:
    """And so is too much."""
    assert main(["audit"]) == 2
    assert main(["audit", "runs/x", "--mechanism"]) == 2
