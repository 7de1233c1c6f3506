"""A process ends with the process that started it, however that ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from server.app import app
from shared.errors import ConfigurationError
from tests.server.fake_grid import FakeGrid, honest

ROOT = Path(__file__).parents[2]
# A run's process that has taken SIGINT for itself, as Flower's has, and does not end by it.
CHILD = """
import signal, sys, time
from server.orphan import end_with_parent
signal.signal(signal.SIGINT, signal.SIG_IGN)
end_with_parent(0.1)
print("watching", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(600)
"""


def there(pid: int) -> bool:
    """Whether a process runs; one that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_does_not_outlive_its_parent() -> None:
    """Here killed; and while the parent lives, so does the child."""
    parent = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", PARENT, CHILD], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    told = [parent.stdout.readline().strip() for _ in range(2)]
    (child,) = (int(line) for line in told if line.isdigit())
    try:
        time.sleep(0.5)
        assert there(child)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while there(child):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        if there(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("deployed", [True, False])
def test_a_deployed_run_watches_and_a_simulated_one_does_not(
    monkeypatch: pytest.MonkeyPatch, *, deployed: bool
) -> None:
    """A simulation is a part of its user's own process."""
    watched = list[bool]()
    grid = FakeGrid(3, honest)
    monkeypatch.setattr("server.app.end_with_parent", lambda: watched.append(True))
    if deployed:
        monkeypatch.setattr("server.app.bounded", lambda _grid: FakeGrid(3, honest))
    context = Context(1, 1, {}, RecordDict(), {"rouds": 3})
    with pytest.raises(ConfigurationError):
        app(grid=grid, context=context)
    assert watched == [True] * deployed
