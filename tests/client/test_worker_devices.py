"""A site's worker with several devices: shut in, the same update, and nothing left behind."""

import time
from pathlib import Path

import numpy as np
import pytest

from client.remote import Remote
from client.worker_process import Worker
from shared.config import RunConfig
from tests.client.test_session import instruction
from tests.client.worker_tasks import BUNDLE, CONFIG, place, site, told

pytestmark = pytest.mark.slow


def of_session(leader: int) -> set[int]:
    """Processes of a worker's session that run, the worker among them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) == leader and state != "Z":
            found.add(int(stat.parent.name))
    return found


def test_a_worker_that_is_shut_in_trains_on_several_devices(tmp_path: Path) -> None:
    """They meet on a loopback of their own; all of them end with the worker, which is killed."""
    told(tmp_path, "nothing")
    several = RunConfig.from_run_config(
        CONFIG.flat() | {"runtime.device": "cpu,cpu", "training.max_physical_batch": 2}
    )
    worker = Worker(BUNDLE, place(tmp_path, sandbox="required"))
    try:
        asked = instruction()
        alone = Remote(CONFIG, worker, 120.0).update(site(tmp_path), asked)
        leader = worker.process
        assert leader is not None
        assert of_session(leader) == {leader}
        found = Remote(several, worker, 120.0).update(site(tmp_path), asked)
        np.testing.assert_allclose(found, alone, atol=1e-6)
        assert np.abs(found).max() > 1e-4
        assert len(of_session(leader)) == 3
    finally:
        worker.end()
    for _ in range(200):
        if not of_session(leader):
            break
        time.sleep(0.05)
    assert of_session(leader) == set()
