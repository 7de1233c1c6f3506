"""A SuperNode killed between its upload and the request to unmask: lost, and told nothing twice."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.report.verify import verify
from shared.secagg.refusal import Refusal
from tests.integration.real_sites import ROOT, documented_task, real_sites, run_config
from tests.integration.superlink import Deployment, Value, deployment

# On the node that has HELD_IN the first round of training waits for a file.
HELD_TASK = '''
import os
import time
from pathlib import Path

from my_task import MyTask


class HeldTask(MyTask):
    """Each instruction to train has a process of its own, which reads the data once."""

    def site_data(self, site):
        if folder := os.environ.get("HELD_IN"):
            rounds = len(list(Path(folder).glob("round-*"))) + 1
            (Path(folder) / f"round-{rounds}").touch()
            while rounds == 1 and not (Path(folder) / "go").exists():
                time.sleep(0.1)
        return super().site_data(site)
'''
CHANGES: dict[str, Value] = {
    "task": "held_task:HeldTask",
    "population.size": 3,
    "population.examples_per_client": 200,
    "rounds": 2,
    "aggregation.dropped_fraction": 0.34,
    "output.run_id": "run",
    "output.tensorboard": False,
}
UPLOADED = re.compile(r"ROUND 1\](?:(?!ROUND).)*Sending: train.*?Sent successfully", re.DOTALL)


def wait_until(holds: Callable[[], object], what: str, *, every_s: float = 0.5) -> None:
    """Raises after ten minutes."""
    deadline = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(every_s)


def came_back(federation: Deployment, name: str) -> bool:
    """Whether a killed node is back: the SuperLink takes none for lost before a minute is over."""
    if federation.log(name).count("SuperNode ID:") == 2:
        return True
    if name not in federation.processes or federation.processes[name].poll() is not None:
        federation.start(name)
    return False


@pytest.mark.integration
@pytest.mark.slow
def test_a_node_killed_after_its_upload_is_summed_and_then_lost(tmp_path: Path) -> None:
    """The others unmask the round that it uploaded to; it refuses by name whatever it is asked.

    It is the same node to the SuperLink, but its key of the run is gone, and it is charged nothing
    more.
    """
    documented_task(tmp_path)
    (tmp_path / "held_task.py").write_text(HELD_TASK)
    sites, _ = real_sites(tmp_path, 3)
    victim, held, *others = sites
    nodes = [victim.supernode(), held.supernode(HELD_IN=str(held.folder))]
    nodes += [site.supernode() for site in others]
    run, killed = tmp_path / "run", "supernode0"
    with deployment(ROOT, tmp_path, nodes, {"PYTHONPATH": str(tmp_path)}) as federation:
        started = federation.submit(run_config() | CHANGES | {"output.dir": str(tmp_path)})
        wait_until(lambda: UPLOADED.search(federation.log(killed)), "no upload in round 1")
        federation.kill(killed)
        wait_until(lambda: came_back(federation, killed), "it is not back", every_s=10.0)
        (held.folder / "go").touch()
        status = federation.outcome(started, timeout_s=600)
        assert status == "finished:completed", federation.log("superlink")[-5000:]
        told = federation.log(killed)
    rounds = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(found["asked"], found["answered"]) for found in rounds] == [(3, 3), (3, 2)]
    log = (run / "log.txt").read_text()
    assert re.search(f"round 2: {victim.name} is left out: .*{Refusal.OWN_KEY_MISSING}", log)
    # To unmask round 1, to train in round 2 and to unmask that.
    assert told.count(f"AggregationRefused: {Refusal.OWN_KEY_MISSING}") >= 2
    assert victim.charges == [("train", 1, 1)]
    assert all(len(site.charges) == 2 for site in (held, *others))
    assert not verify(run)
