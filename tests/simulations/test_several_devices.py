"""A simulation whose clients each train on several devices, one client at a time."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from shared.config import Scalar
from shared.vectors import FlatVector
from simulations.federation import simulate

RAW: dict[str, Scalar] = {
    "task": "digits", "model": "mlp", "rounds": 2, "seed": 3, "population.size": 4,
    "cohort.sample_rate": 1.0, "training.batch_size": 16, "training.steps": 0,
    "training.epochs": 1, "privacy.unit": "client", "privacy.epsilon_budget": 1e6,
    "population.examples_per_client": 50, "audit.canaries": 0, "output.tensorboard": False,
}  # fmt: skip


def trained(folder: Path, device: str) -> FlatVector:
    """The model that comes of it."""
    keys = {"runtime.device": device, "output.dir": str(folder / device.replace(",", "-"))}
    found = load_file(simulate(RAW | keys) / "model.safetensors")
    return np.concatenate([found[name].ravel() for name in sorted(found)])


@pytest.mark.slow
def test_each_client_s_plain_training_is_that_of_one_device(tmp_path: Path) -> None:
    """But for rounding; the clients are not trained beside each other, nor stacked."""
    one, several = (trained(tmp_path, device) for device in ("cpu", "cpu,cpu"))
    np.testing.assert_allclose(several, one, atol=2e-6)
