"""Vectors pass through lent memory as they are; what is not there is no vector."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from client import lent_memory, worker, worker_process
from client.in_process import InProcess
from client.lent_memory import LENGTH, LentMemory, told
from client.remote import Remote
from client.worker_process import Worker, WorkerFailed
from tests.client.test_queries import asked, private
from tests.client.test_serving_worker import CONFIG, part
from tests.client.test_session import instruction
from tests.client.worker_tasks import BUNDLE, computing, place, site
from tests.client.worker_tasks import told as says

LARGE = memoryview(bytes(range(256)) * (1 << 17))  # 32 MiB


@pytest.fixture
def lent() -> LentMemory:
    """A block."""
    made = LentMemory.new()
    assert made is not None
    return made


@pytest.mark.parametrize("behind", [0, 1, 4096, 5000])
@pytest.mark.parametrize("content", [LARGE[:1], LARGE[:70_000], LARGE])
def test_what_is_put_is_seen_and_taken(lent: LentMemory, content: memoryview, behind: int) -> None:
    """By both sides, each behind the other's part, which stays as it was."""
    first = memoryview(b"x" * behind)
    lent.put(first)
    lent.put(content, behind)
    assert lent.taken(len(content), behind) == content
    assert lent.taken(behind) == first
    if behind:
        assert lent.seen(behind) == first
    lent.clear()
    assert os.fstat(lent.descriptor).st_size == 0


def test_a_copy_is_taken(lent: LentMemory) -> None:
    """A worker that changes the block later changes nothing of it."""
    lent.put(LARGE)
    taken = lent.taken(len(LARGE))
    lent.put(memoryview(bytes(len(LARGE))))
    assert taken == LARGE


def test_what_is_not_there_is_refused(lent: LentMemory) -> None:
    """As where a worker told more than it wrote, or cut the block short."""
    lent.put(LARGE[:100])
    with pytest.raises(ValueError, match="expected 101 bytes in lent memory, got 100"):
        lent.taken(101)
    with pytest.raises(ValueError, match="got 0"):
        lent.taken(1, 100)


def test_it_is_given_back_with_the_last_who_has_it() -> None:
    """No descriptor is left."""
    made = LentMemory.new()
    assert made is not None
    descriptor = made.descriptor
    del made
    gc.collect()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_where_there_is_no_such_memory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """All goes by the socket there."""
    monkeypatch.delattr(os, "memfd_create")
    assert LentMemory.new() is None


def test_a_length_is_told_or_none() -> None:
    """A number of bytes."""
    assert told(None) == told((("other", "5"),)) == 0
    assert told(((LENGTH, "12"),)) == 12
    for wrong in ("-1", "many", ""):
        with pytest.raises(ValueError, match=r"length|invalid"):
            told(((LENGTH, wrong),))


class Direct:
    """Asks a worker that runs in this process, as a guard does.

    Attributes:
        largest: Bytes of an answer.
    """

    def __init__(self, path: Path, lent: LentMemory) -> None:
        self.server = worker.serve(str(path), 1 << 24, lent)
        channel = grpc.insecure_channel(f"unix:{path}")
        nobody: Any = None
        self.running = worker_process._Running(nobody, path, channel, lent)
        self.largest = 1 << 24

    def ask(self, method: str, request: Any, timeout_s: float) -> Any:
        """The answer."""
        return self.running.call(method, request, timeout_s, self.largest)


@pytest.fixture
def direct(tmp_path: Path, lent: LentMemory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    """For which everything is large."""
    for module in (worker, worker_process):
        monkeypatch.setattr(module, "SMALLEST", 1)
    made = Direct(tmp_path / "w", lent)
    yield made
    made.running.channel.close()
    made.server.stop(None).wait()


def test_an_update_and_rows_are_those_of_this_process(
    direct: Direct, lent: LentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit; they went through the block, and nothing of them stays there."""
    put: list[int] = []
    before = LentMemory.put

    def noted(self: LentMemory, content: memoryview, behind: int = 0) -> None:
        put.append(len(content))
        before(self, content, behind)

    monkeypatch.setattr(lent_memory.LentMemory, "put", noted)
    remote = Remote(CONFIG, direct, 30.0)  # type: ignore[arg-type] # what is used of it
    there = remote.update(part(CONFIG), instruction())
    here = InProcess(CONFIG).update(part(CONFIG), instruction())
    assert (there.dtype, there.tobytes()) == (here.dtype, here.tobytes())
    assert put == [instruction().parameters.nbytes, here.nbytes]
    config = private({})
    question = asked(config, "statistics", 1)
    there = Remote(config, direct, 30.0).rows(part(config), question)  # type: ignore[arg-type]
    assert there.tobytes() == InProcess(config).rows(part(config), question).tobytes()
    assert len(put) > 2
    assert os.fstat(lent.descriptor).st_size == 0


def test_an_answer_of_more_bytes_than_allowed_is_not_taken(direct: Direct) -> None:
    """However many the worker wrote."""
    direct.largest = instruction().parameters.nbytes - 1
    with pytest.raises(WorkerFailed):
        Remote(CONFIG, direct, 30.0).update(part(CONFIG), instruction())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("with_memory", [True, False])
def test_a_worker_of_its_own_answers_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_memory: bool
) -> None:
    """A process; with lent memory, and where the system has none."""
    if not with_memory:
        monkeypatch.setattr(LentMemory, "new", lambda: None)
    monkeypatch.setattr(worker_process, "SMALLEST", 1)
    made = Worker(BUNDLE, place(tmp_path))
    says(tmp_path, "nothing")
    try:
        found = computing(made).update(site(tmp_path), instruction())
        assert found.shape == instruction().parameters.shape
        assert made._running is not None
        assert (made._running.lent is not None) == with_memory
    finally:
        made.end()
