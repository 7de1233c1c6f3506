"""Sites' guards against a stock SuperLink: the same model as in one process, bit for bit."""

from pathlib import Path

import pytest

from client.ledger import Ledger
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.guarded_sites import guarded

ROOT = Path(__file__).parents[2]
SEEDED: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 2,
    "seed": 11,
    "population.size": 2,
    "population.examples_per_client": 100,
    "training.batch_size": 20,
    "privacy.epsilon_budget": 100.0,
    "privacy.delta": 0.01,
    "audit.canaries": 0,  # they exist in a simulation alone
    "output.run_id": "guards",
    "output.tensorboard": False,
}


@pytest.mark.integration
@pytest.mark.slow
def test_guards_and_workers_train_the_same_model_bytes_as_the_simulation(tmp_path: Path) -> None:
    """Whatever carries the messages and wherever the code runs."""
    simulated = simulate(SEEDED | {"output.dir": str(tmp_path / "simulated")})
    with guarded(ROOT, tmp_path, 2) as federation:
        run_id = federation.submit(SEEDED | {"output.dir": str(tmp_path / "deployed")})
        status = federation.outcome(run_id, 240)
        assert status == "finished:completed", federation.logs()
    model = "model.safetensors"
    deployed = tmp_path / "deployed" / "guards"
    assert (deployed / model).read_bytes() == (simulated / model).read_bytes()
    for home in federation.homes:
        answered = Ledger(home.ledger).reservations
        assert len(answered) == 2
        assert None not in answered.values()


DEATHS = ("received", "masked", "kept", "committed", "sent", "done")


@pytest.mark.integration
@pytest.mark.slow
def test_a_guard_that_is_killed_six_times_changes_nothing(tmp_path: Path) -> None:
    """Under masks, over TLS, by `kill -9`, at six points; its workers die with it."""
    changes: dict[str, Scalar] = {
        "population.size": 3, "privacy.noise": "distributed", "evaluation.private_every": 2,
    }  # fmt: skip
    flat = SEEDED | changes
    simulated = simulate(flat | {"output.dir": str(tmp_path / "simulated")})
    with guarded(ROOT, tmp_path, 3, started=[1, 2]) as federation:
        federation.accept_roster()
        left = federation.start_dying_guard(0, DEATHS)
        run_id = federation.submit(flat | {"output.dir": str(tmp_path / "deployed")})
        status = federation.outcome(run_id, 400)
        assert status == "finished:completed", federation.logs()
        assert left.read_text() == ""
    model = "model.safetensors"
    deployed = tmp_path / "deployed" / "guards"
    assert (deployed / model).read_bytes() == (simulated / model).read_bytes()
    for home in federation.homes:
        answered = Ledger(home.ledger).reservations
        assert len(answered) == 3
        assert None not in answered.values()
