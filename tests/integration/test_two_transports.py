"""One app, two transports: in this process, and on a real SuperLink with real SuperNodes."""

import json
import shutil
from pathlib import Path

import pytest

from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.superlink import demonstration, deployment

ROOT = Path(__file__).parents[2]
SEEDED: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 2,
    "seed": 11,
    "population.size": 2,
    "population.examples_per_client": 100,
    "training.batch_size": 20,
    "audit.canaries": 0,  # they exist in a simulation alone
    "output.run_id": "two-transports",
    "output.tensorboard": False,
}


def both_ways(
    config: dict[str, Scalar], folder: Path, module: Path | None = None
) -> tuple[Path, Path]:
    """The run in this process and over SuperNodes, which gave the same model bytes.

    `module` travels with the app, as docs/own-task.md says.
    """
    simulated = simulate(config | {"output.dir": str(folder / "simulated")})
    deployed = folder / "deployed" / "two-transports"
    nodes = demonstration(int(config["population.size"]))
    with deployment(ROOT, folder, nodes) as federation:
        if module is not None:
            add_to_bundle(federation.app, module)
        overrides = config | {"output.dir": str(folder / "deployed")}
        status = federation.run(overrides, timeout_s=600)
        logs = "\n".join(log.read_text()[-3000:] for log in sorted(folder.glob("*.log")))
        assert status == "finished:completed", logs
    model = "model.safetensors"
    assert (deployed / model).read_bytes() == (simulated / model).read_bytes()
    return simulated, deployed


def add_to_bundle(app: Path, module: Path) -> None:
    """A file of one's own beside the app's, named to Flower."""
    shutil.copy(module, app)
    project = app / "pyproject.toml"
    before = project.read_text()
    after = before.replace("fab-include = [", f'fab-include = ["/{module.name}", ', 1)
    assert after != before
    project.write_text(after)


@pytest.mark.integration
@pytest.mark.slow
def test_supernodes_train_the_same_model_bytes_as_the_simulation(tmp_path: Path) -> None:
    """A seeded run gives the same model, bit for bit, whatever carries the messages.

    At client level: over guards `test_federation.py` shows it at record level.
    """
    config = SEEDED | {
        "privacy.unit": "client", "privacy.epsilon_budget": 100.0, "privacy.delta": 0.01,
    }  # fmt: skip
    simulated, deployed = both_ways(config, tmp_path)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (simulated, deployed)]
    assert [report["run"]["execution"] for report in reports] == ["simulation", "deployment"]
    said = reports[1]["implementation"]["client_side_enforcement"]
    assert said.startswith("none: the run's code")


@pytest.mark.integration
@pytest.mark.slow
def test_supernodes_sum_under_masks_as_the_simulation_does(tmp_path: Path) -> None:
    """Three sites, noise distributed: fresh keys and masks on both, and the same model bytes."""
    config = SEEDED | {
        "population.size": 3,
        "privacy.noise": "distributed",
        "privacy.epsilon_budget": 100.0,
        "evaluation.private_every": 2,
    }
    both_ways(config, tmp_path)
