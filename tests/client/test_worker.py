"""A worker over a real Unix socket: dead, slow, too large, and shut in."""

import ast
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client import sandbox
from client.in_process import InProcess
from client.remote import Remote
from client.site import ThisSite
from client.worker_pb2 import Numbers
from client.worker_process import Worker, WorkerFailed, remove_folder
from client.worker_wire import array, numbers
from shared.config import RunConfig
from shared.messages import TrainInstruction
from shared.partition import partition_spec
from shared.task_settings import Site
from tests.client.test_queries import asked, private
from tests.client.test_session import instruction
from tests.client.worker_tasks import BUNDLE, computing, place, site, told

pytestmark = pytest.mark.slow
INSTRUCTION: TrainInstruction = instruction()
PREFIX = f"murmura-worker-{os.getpid()}-"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Not shut in, so that its task can leave marks beside its data."""
    made = Worker(BUNDLE, replace(place(tmp_path, answer_mib=1), prefix=PREFIX))
    yield made
    made.end()


def folders() -> set[str]:
    """Of this process's workers, in the place for such; others test beside it."""
    return {path.name for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")}


def test_a_worker_that_dies_over_a_request_is_replaced(tmp_path: Path, worker: Worker) -> None:
    """Once; the answer is its successor's, and the next request finds it warm."""
    told(tmp_path, "die once")
    first = computing(worker).update(site(tmp_path), INSTRUCTION)
    assert first.shape == INSTRUCTION.parameters.shape
    assert worker.starts == 2
    again = computing(worker).update(site(tmp_path), INSTRUCTION)
    assert worker.starts == 2
    assert again.tobytes() == first.tobytes()


def test_one_that_always_dies_fails_and_leaves_nothing_behind(
    tmp_path: Path, worker: Worker
) -> None:
    """Neither a process nor a folder."""
    before = folders()
    told(tmp_path, "die")
    with pytest.raises(WorkerFailed, match="UNAVAILABLE"):
        computing(worker).update(site(tmp_path), INSTRUCTION)
    assert worker.process is None
    assert folders() == before


def test_one_that_is_too_slow_is_ended(tmp_path: Path, worker: Worker) -> None:
    """So that it does not compute beside the next."""
    worker._started()
    process = worker.process
    assert process is not None
    told(tmp_path, "sleep")
    with pytest.raises(WorkerFailed, match="DEADLINE_EXCEEDED"):
        computing(worker, longest_s=1.0).update(site(tmp_path), INSTRUCTION)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_an_error_in_the_worker_stays_at_the_site(tmp_path: Path, worker: Worker) -> None:
    """The guard's error names none of its text where it is told; the worker's log does."""
    told(tmp_path, "raise")
    with pytest.raises(WorkerFailed) as caught:
        computing(worker).update(site(tmp_path), INSTRUCTION)
    assert type(caught.value).__name__ == "WorkerFailed"
    assert "patient 4711" in (tmp_path / "worker.log").read_text()
    assert worker.process is not None


def test_an_answer_that_is_too_large_is_refused(tmp_path: Path, worker: Worker) -> None:
    """Here the request is: one MiB is the limit of both."""
    large = TrainInstruction(
        round_number=1, attempt=1, plan="", plan_digest="", clipping_norm=0.5,
        parameters=np.zeros(1 << 19, dtype=np.float32),
    )  # fmt: skip
    with pytest.raises(WorkerFailed, match="RESOURCE_EXHAUSTED"):
        computing(worker).update(site(tmp_path), large)


def test_a_worker_is_shut_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, an empty home, data it cannot write, no capability, a small environment."""
    for name in ("MURMURA_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "secret")
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told(tmp_path, "look")
        data = tmp_path / "data"
        (data / "port").write_text(str(listening.getsockname()[1]))
        (data / "hidden").write_text(str(home))
        free, shut = (seen_by(tmp_path, wanted, home) for wanted in ("off", "required"))
    assert free["network"] == ["loopback"]
    assert (free["hidden"], free["data"]) == (["keys"], "written")
    assert shut["network"] == []
    assert (shut["hidden"], shut["data"], shut["scratch"]) == ([], "refused", "written")
    assert shut["capabilities"] == ["0000000000000000"]
    assert {"MURMURA_TOKEN", "HTTPS_PROXY"}.isdisjoint(shut["environment"])


def seen_by(folder: Path, sandbox: str, home: Path) -> dict[str, Any]:
    """What a worker sees of the world; it raises that, so that its log holds it."""
    log = folder / "worker.log"
    log.unlink(missing_ok=True)
    worker = Worker(BUNDLE, place(folder, hidden=(home,), sandbox=sandbox))
    try:
        with pytest.raises(WorkerFailed):
            computing(worker).update(site(folder), INSTRUCTION)
        assert worker.sandbox == ("network, files, rights" if sandbox == "required" else "")
    finally:
        worker.end()
    start = "ValueError: SEEN"
    [text] = [line for line in log.read_text().splitlines() if line.startswith(start)]
    found: dict[str, Any] = ast.literal_eval(text.removeprefix(start))
    return found


def test_where_it_cannot_be_shut_in_it_does_not_start_if_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it may, it says so."""
    broken = tmp_path / "sandbox.py"
    source = Path(sandbox.__file__).read_text()
    broken.write_text(
        source.replace(
            "_NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000", "_NEW_NETWORK = 1, 1, 1"
        )
    )
    monkeypatch.setattr("client.worker_process.sandbox.__file__", str(broken))
    told(tmp_path, "nothing")
    for wanted in ("required", "if-available"):
        worker = Worker(BUNDLE, place(tmp_path, sandbox=wanted))
        try:
            if wanted == "required":
                with pytest.raises(WorkerFailed, match="could not be shut in"):
                    computing(worker).update(site(tmp_path), INSTRUCTION)
            else:
                computing(worker).update(site(tmp_path), INSTRUCTION)
                assert worker.sandbox == ""
        finally:
            worker.end()


def test_a_worker_dies_with_its_guard(tmp_path: Path) -> None:
    """However that ends."""
    told(tmp_path, "nothing")
    code = (
        "import dataclasses, sys; from pathlib import Path\n"
        "from client.worker_process import Worker\n"
        "from tests.client.worker_tasks import BUNDLE, place\n"
        "found = dataclasses.replace(place(Path(sys.argv[1])), prefix='murmura-dying-')\n"
        "worker = Worker(BUNDLE, found); worker._started()\n"
        "print(worker.process, flush=True); sys.stdin.read()"
    )
    guard = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert guard.stdout is not None
    process = int(guard.stdout.readline())
    os.kill(process, 0)
    guard.kill()
    guard.communicate()
    for _ in range(200):
        if not Path(f"/proc/{process}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()
    for folder in Path(tempfile.gettempdir()).glob("murmura-dying-*"):
        remove_folder(folder)


def test_an_ended_worker_is_not_started_again(worker: Worker) -> None:
    """The guard stops."""
    worker.end()
    with pytest.raises(WorkerFailed, match="stops"):
        worker._started()
    assert worker.starts == 0


def test_numbers_go_both_ways() -> None:
    """Vectors and rows, of both widths; what is no array is refused."""
    for shape in ((5,), (0,), (3, 4), (0, 4)):
        for kind in (np.float32, np.float64):
            given = np.arange(np.prod(shape), dtype=kind).reshape(shape)
            found = array(numbers(given))
            assert (found.dtype, found.shape) == (given.dtype, given.shape)
            assert np.array_equal(found, given)
    for wrong in (
        Numbers(values=b"123"),
        Numbers(values=bytes(12), width=2),
        Numbers(values=bytes(8), width=-3),
    ):
        with pytest.raises(ValueError, match=r"."):
            array(wrong)


def test_rows_are_the_ones_of_this_process(tmp_path: Path) -> None:
    """Of a question: the same numbers, bit for bit."""
    config: RunConfig = private({})
    part = ThisSite(
        client_id="site-000000",
        site=Site(index=0, partition=partition_spec(config.population)),
        data_dir=None,
    )
    worker = Worker(BUNDLE, place(tmp_path))
    try:
        question = asked(config, "statistics", 1)
        there = Remote(config, worker, 120.0).rows(part, question)
        assert there.tobytes() == InProcess(config).rows(part, question).tobytes()
    finally:
        worker.end()
