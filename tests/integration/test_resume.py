"""A run that was interrupted goes on to the same bytes, and spends nothing unseen."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.report.verify import verify
from shared.config import Scalar
from shared.errors import StateError, TooFewSurvivors
from simulations.faults import Fault, ScriptedFaults
from simulations.federation import simulate

CONFIG: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 4,
    "seed": 5,
    "population.size": 3,
    "population.examples_per_client": 100,
    "training.batch_size": 20,
    "server.optimizer": "adam",
    "server.learning_rate": 0.1,
    "output.run_id": "run",
    "output.tensorboard": False,
}


def broken_at(round_number: int) -> ScriptedFaults:
    """Nobody answers in one round."""
    return ScriptedFaults({(i, str(round_number)): Fault.UNAVAILABLE for i in range(3)})


@pytest.mark.integration
@pytest.mark.parametrize("round_number", [1, 3])
@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_seeded_run_goes_on_to_the_same_model_and_claims(
    tmp_path: Path, round_number: int, unit: str
) -> None:
    """Optimizer, samplers and accountant included; a round repeated bit for bit costs once."""
    config = CONFIG | {"privacy.unit": unit, "privacy.delta": 1e-3, "privacy.epsilon_budget": 1e3}
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    interrupted = config | {"output.dir": str(tmp_path / "parts")}
    with pytest.raises(TooFewSurvivors):
        simulate(interrupted, faults=broken_at(round_number))
    resumed = simulate(interrupted | {"output.resume": True})
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    claims = [json.loads((run / "report.json").read_text())["claims"] for run in (whole, resumed)]
    for claim in (*claims[0], *claims[1]):
        # What was measured is of the rounds since the last start alone.
        claim["statement"] = claim["statement"].split(" Measured by audit")[0]
    assert claims[0] == claims[1]
    with pytest.raises(StateError, match="finished"):
        simulate(interrupted | {"output.resume": True})


CENTRAL: list[dict[str, Scalar]] = [
    {"privacy.clipping": "adaptive", "privacy.clipping_norm": 0.01},
    {"privacy.correlation": "banded", "privacy.bands": 2, "privacy.min_separation": 2},
    {"privacy.correlation": "tree", "privacy.min_separation": 1},
    {"statistics.private": True, "statistics.high": 16.0, "evaluation.private_every": 1},
]


@pytest.mark.integration
@pytest.mark.parametrize("mechanism", CENTRAL, ids=["adaptive", "banded", "tree", "queries"])
def test_clip_noise_and_statistics_go_on_where_they_were(
    tmp_path: Path, mechanism: dict[str, Scalar]
) -> None:
    """The state of every mechanism is in the checkpoint."""
    config = CONFIG | mechanism | {
        "privacy.unit": "client", "privacy.delta": 1e-3, "privacy.epsilon_budget": 1e3,
        "cohort.minimum_survivors": 0.5,
    }  # fmt: skip
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    interrupted = config | {"output.dir": str(tmp_path / "parts")}
    with pytest.raises(TooFewSurvivors):
        simulate(interrupted, faults=broken_at(3))
    resumed = simulate(interrupted | {"output.resume": True})
    models = [(run / "model.safetensors").read_bytes() for run in (whole, resumed)]
    assert models[0] == models[1]
    ledgers = [(run / "ledgers/charges.jsonl").read_text() for run in (whole, resumed)]
    assert sorted(ledgers[0].splitlines()) == sorted(ledgers[1].splitlines())


@pytest.mark.integration
def test_a_repeated_round_with_fresh_randomness_is_charged_twice(tmp_path: Path) -> None:
    """Its noise is another one: whoever saw both saw two releases."""
    config = CONFIG | {"seed": "os", "output.dir": str(tmp_path), "privacy.epsilon_budget": 50.0}
    with pytest.raises(TooFewSurvivors):
        simulate(config, faults=broken_at(2))
    run = simulate(config | {"output.resume": True})
    charges = [json.loads(line) for line in (run / "charges.jsonl").read_text().splitlines()]
    assert [(c["round_number"], c["attempt"]) for c in charges] == [
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 1),
        (4, 1),
    ]


@pytest.mark.integration
@pytest.mark.parametrize("matrix", ["tree", "banded"])
def test_a_repeated_round_of_correlated_noise_costs_one_row_more(
    tmp_path: Path, matrix: str
) -> None:
    """Not the whole run again, and not nothing; the report is what its charges say."""
    config = CONFIG | {
        "seed": "os", "output.dir": str(tmp_path), "privacy.unit": "client",
        "privacy.delta": 1e-3, "privacy.correlation": matrix, "privacy.bands": 2,
        "privacy.min_separation": 2,
    }  # fmt: skip
    with pytest.raises(TooFewSurvivors):
        simulate(config, faults=broken_at(2))
    run = simulate(config | {"output.resume": True})
    charges = [json.loads(line) for line in (run / "charges.jsonl").read_text().splitlines()]
    kinds = [(c["round_number"], c["attempt"], c["event"]["kind"]) for c in charges]
    nothing = "none"
    assert kinds == [
        (1, 1, "gaussian"),
        (2, 1, nothing),
        (2, 2, "gaussian"),
        (3, 1, nothing),
        (4, 1, nothing),
    ]
    whole, row = (charges[place]["event"]["noise_multiplier"] for place in (0, 2))
    assert row > 1.5 * whole
    claim = json.loads((run / "report.json").read_text())["claims"][-1]
    assert claim["planned_epsilon"] < claim["epsilon"] < 1.5 * claim["planned_epsilon"]
    assert verify(run) == ()


@pytest.mark.integration
@pytest.mark.parametrize("change", [{"rounds": 5}, {"privacy.noise_multiplier": 2.0}])
def test_another_configuration_cannot_take_over_a_run(
    tmp_path: Path, change: dict[str, Scalar]
) -> None:
    """The plan was fixed before the first round."""
    config = CONFIG | {"output.dir": str(tmp_path)}
    with pytest.raises(TooFewSurvivors):
        simulate(config, faults=broken_at(2))
    with pytest.raises(StateError, match=next(iter(change))):
        simulate(config | change | {"output.resume": True})


@pytest.mark.integration
@pytest.mark.slow
def test_kill_9_loses_the_round_in_flight_and_no_charge(tmp_path: Path) -> None:
    """Killed at any moment, a seeded run goes on to the same bytes."""
    config = CONFIG | {"rounds": 60, "privacy.epsilon_budget": 1e3}
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    parts = config | {"output.dir": str(tmp_path / "parts")}
    code = f"from simulations.federation import simulate; simulate({parts!r})"
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2]
    )
    charges = tmp_path / "parts" / "run" / "charges.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        charges.exists() and charges.read_bytes().count(b"\n") >= 10
    ):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    spent = charges.read_bytes().count(b"\n")
    resumed = simulate(parts | {"output.resume": True})
    assert 10 <= spent <= 60
    assert charges.read_bytes().count(b"\n") == 60
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
