"""The same apps on Flower's simulation runtime: a local Ray of two workers."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.config import RunConfig, Scalar
from shared.errors import ConfigurationError
from simulations.federation import simulate

RUN: dict[str, Scalar] = {
    "task": "digits", "model": "mlp", "rounds": 2, "seed": 5, "population.size": 4,
    "population.examples_per_client": 40, "training.batch_size": 10, "runtime.device": "cpu",
    "privacy.epsilon_budget": 1e4, "audit.canaries": 0, "output.tensorboard": False,
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.slow
def test_ray_gives_the_model_of_this_process_bit_for_bit(tmp_path: Path) -> None:
    """Two workers, each with some of the clients; report and charges too."""
    here = simulate(RUN | {"output.dir": str(tmp_path), "output.run_id": "here"})
    flat = RunConfig.from_run_config(
        RUN | {"output.dir": str(tmp_path), "output.run_id": "ray", "runtime.engine": "ray"}
    ).flat()
    # A process of its own: Ray leaves threads, signal handlers and warnings behind.
    read = "import json, sys; from simulations.on_ray import play; "
    command = [sys.executable, "-c", read + "play(json.loads(sys.argv[1]), 2)", json.dumps(flat)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr[-2000:]
    there = tmp_path / "ray"
    for name in ("model.safetensors", "charges.jsonl"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
    reports = [json.loads((folder / "report.json").read_text()) for folder in (here, there)]
    assert reports[0]["claims"] == reports[1]["claims"]
    assert reports[1]["run"]["execution"] == "simulation"


def test_what_ray_cannot_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks, whose keys live in one process; clients that attack; and no Ray at all."""
    ray = RUN | {"runtime.engine": "ray", "output.dir": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="secure_aggregation"):
        simulate(ray | {"secure_aggregation": "on", "population.size": 60})
    with pytest.raises(ConfigurationError, match="keep between rounds"):
        simulate(ray | {"training.local_layers": "3"})
    with pytest.raises(ConfigurationError, match="another engine"):
        simulate(ray, arrivals={0: 1})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="the extra ray"):
        simulate(ray)
