"""Tasks that are private for each client, on real nodes whose budgets are of clients."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.ledger import Ledger
from examples.federation import ROOT, SITES, Federation, running
from murmura.exit_codes import ExitCode
from murmura.settings import read_file
from server.report.verify import verify
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.faults.deaths import WHOLE
from tests.integration.test_federation import MODEL, assigned, at_server, done

ROUNDS = 2
SHORT: dict[str, Scalar] = {
    "rounds": ROUNDS,
    "seed": 11,
    "cohort.sample_rate": 1.0,
    "privacy.unit": "client",
    "privacy.epsilon_budget": 100.0,
    "runtime.evaluate_every": ROUNDS,
    "audit.canaries": 0,  # they exist in a simulation alone
    "output.tensorboard": False,
}
TRANSLATION: dict[str, Scalar] = {
    "task": "translation",
    "model": "tiny",
    "data.name": "da,de,fr",
    "population.partition": "natural",
    "population.column": "language",
    "population.examples_per_client": 0,
    "training.batch_size": 8,
    "privacy.noise_multiplier": 4.0,
}
QUICK = ("resnet-client", "tabular-client")
EXAMPLES = (*QUICK, "flights-client", "sentences-client") if WHOLE else QUICK
pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """One for all tests of this file."""
    folder = tmp_path_factory.mktemp("federation")
    with running(folder, seeded=True, quiet=True, unit="client") as made:
        yield made


def check(federation: Federation, settings: dict[str, Scalar], folder: Path) -> None:
    """Bit for bit the simulation's model; all that is claimed and charged is for a client."""
    alike = settings | {"population.size": SITES, "output.dir": str(folder)}
    simulated = simulate(alike | {"output.run_id": "simulated"})
    before = [len(Ledger(home / "ledger").reservations) for home in federation.joined]
    words = assigned(settings | {"output.run_id": folder.name})
    summary = done(at_server(federation, "run", *words, "--json"), ExitCode.OK)
    assert summary["status"] == "finished"
    run = Path(summary["run_folder"])
    assert (run / MODEL).read_bytes() == (simulated / MODEL).read_bytes()
    report = json.loads((run / "report.json").read_text())
    assert {claim["unit"] for claim in report["claims"]} == {"client"}
    assert not verify(run)
    for home, earlier in zip(federation.joined, before, strict=True):
        answered = Ledger(home / "ledger").reservations
        assert len(answered) == earlier + ROUNDS
        assert None not in answered.values()


def test_sites_that_are_languages_train_the_simulation_s_model(
    federation: Federation, tmp_path: Path
) -> None:
    """Each site a language, by a natural partition."""
    check(federation, SHORT | TRANSLATION, tmp_path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_the_simulation_s_model(
    federation: Federation, name: str, tmp_path: Path
) -> None:
    """As its file says, but for three sites that are all asked in two rounds."""
    example = read_file(ROOT / "examples" / "tasks" / f"{name}.toml")
    check(federation, example | SHORT | {"population.size": SITES}, tmp_path)
