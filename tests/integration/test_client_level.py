"""A task that is private for each client, on real nodes whose budgets are of clients."""

import json
from pathlib import Path

import pytest

from client.ledger import Ledger
from examples.federation import SITES, running
from murmura.exit_codes import ExitCode
from server.report.verify import verify
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.test_federation import MODEL, assigned, at_server, done

TRANSLATION: dict[str, Scalar] = {
    "task": "translation",
    "model": "tiny",
    "data.name": "da,de,fr",
    "rounds": 2,
    "seed": 11,
    "population.partition": "natural",
    "population.column": "language",
    "population.examples_per_client": 0,
    "training.batch_size": 8,
    "privacy.unit": "client",
    "privacy.noise_multiplier": 4.0,
    "privacy.epsilon_budget": 100.0,
    "runtime.evaluate_every": 2,
    "audit.canaries": 0,  # they exist in a simulation alone
    "output.tensorboard": False,
}
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_sites_whose_budgets_are_of_clients_train_the_simulation_s_model(tmp_path: Path) -> None:
    """Bit for bit, each site a language; all that they charge is for a client."""
    alike = TRANSLATION | {"population.size": SITES, "output.dir": str(tmp_path)}
    simulated = simulate(alike | {"output.run_id": "simulated"})
    with running(tmp_path / "federation", seeded=True, quiet=True, unit="client") as federation:
        words = assigned(TRANSLATION | {"output.run_id": "languages"})
        summary = done(at_server(federation, "run", *words, "--json"), ExitCode.OK)
    assert summary["status"] == "finished"
    folder = Path(summary["run_folder"])
    assert (folder / MODEL).read_bytes() == (simulated / MODEL).read_bytes()
    assert summary["metrics"]["chrf"] >= 0.0
    report = json.loads((folder / "report.json").read_text())
    assert {claim["unit"] for claim in report["claims"]} == {"client"}
    assert not verify(folder)
    for home in federation.joined:
        answered = Ledger(home / "ledger").reservations
        assert len(answered) == TRANSLATION["rounds"]
        assert None not in answered.values()
