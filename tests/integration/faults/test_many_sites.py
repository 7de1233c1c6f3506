"""More sites than a machine could have guards of: all are heard, and none is turned away."""

from pathlib import Path

import pytest

from shared.config import Scalar
from tests.integration.faults.federation import federation
from tests.integration.faults.light_sites import LightSites
from tests.integration.faults.runs import Run, rounds_of

SITES = 12
CONFIG: dict[str, Scalar] = {
    "task": "digits", "rounds": 1, "population.size": SITES, "population.examples_per_client": 4,
    "training.batch_size": 4, "runtime.device": "cpu", "privacy.unit": "client",
    "privacy.epsilon_budget": 1e3, "privacy.delta": 1e-3, "audit.canaries": 0,
    "output.run_id": "run", "output.tensorboard": False, "cohort.timeout_s": 120.0,
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.slow
def test_a_round_of_many_sites_is_whole(tmp_path: Path) -> None:
    """As `benchmarks/many_sites.py` plays it with 500: the real server, protocol and ClientApp."""
    with federation(tmp_path, 0) as running:
        light = LightSites(running.home, f"127.0.0.1:{running.port}", tmp_path, SITES)
        light.start(light.enrol())
        running.wait_for(lambda: len(light.online) == SITES, 60.0)
        run = Run(running, CONFIG | {"output.dir": str(tmp_path / "runs")})
        status = running.outcome(run.run_id, 200.0)
        light.end()
        assert status == "finished:completed", running.logs()
    assert [line["answered"] for line in rounds_of(run.folder)] == [SITES]
    assert light.errors == {}
