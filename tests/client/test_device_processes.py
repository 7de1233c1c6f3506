"""Processes of devices: all answer or none counts, and none outlives its trainer."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import device_processes
from client.device_processes import DeviceFailed, DeviceProcesses
from shared.config import RunConfig
from shared.errors import PrivacyError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceProcesses]:
    """Two that do as they are told."""
    monkeypatch.setattr(device_processes, "_MODULE", "tests.client.device_stub")
    made = DeviceProcesses(RunConfig(), None, None, ("cpu", "cpu"))
    yield made
    made.end()


def gone(process: int) -> bool:
    """Whether it is over, soon."""
    for _ in range(400):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False


def test_each_answers_its_own_message_in_order(processes: DeviceProcesses) -> None:
    """They are started once, find the same modules, and meet on the loopback network alone."""
    assert processes.process_ids == []
    assert len(processes) == 2
    first = processes.ask([({}, ()), ({}, ())])
    running = processes.process_ids
    second = processes.ask([({}, ()), ({}, ())])
    assert processes.process_ids == running
    assert [said["answered"] for said, _ in (*first, *second)] == [1, 1, 2, 2]
    said, tensors = first[0]
    assert said["network"] in {"lo", "lo0"}
    assert set(filter(None, sys.path)) <= set(said["path"]) | {str(ROOT)}
    assert tensors == []


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_dies_ends_all_and_the_next_question_starts_new_ones(
    processes: DeviceProcesses, rank: int
) -> None:
    """The answer of the other is thrown away."""
    processes.ask([({}, ()), ({}, ())])
    before = processes.process_ids
    deeds = [{"do": "die"} if each == rank else {} for each in range(2)]
    with pytest.raises(DeviceFailed, match=rf"answer of device {rank} \(cpu\)"):
        processes.ask([(said, ()) for said in deeds])
    assert processes.process_ids == []
    assert all(gone(process) for process in before)
    assert [said["answered"] for said, _ in processes.ask([({}, ()), ({}, ())])] == [1, 1]


def test_one_that_died_between_two_questions_is_found(processes: DeviceProcesses) -> None:
    """When it is told the next."""
    processes.ask([({}, ()), ({}, ())])
    last = processes.process_ids[1]
    os.kill(last, 9)
    # Its end of the sockets is closed once it is gone.
    os.waitid(os.P_PID, last, os.WEXITED | os.WNOWAIT)
    with pytest.raises(DeviceFailed):
        processes.ask([({}, ()), ({}, ())])
    assert processes.process_ids == []


def test_the_others_are_not_waited_for_when_one_has_failed(processes: DeviceProcesses) -> None:
    """They may be in a meeting that never takes place."""
    processes.ask([({}, ()), ({}, ())])
    before = processes.process_ids
    error = {"error": "DataError", "text": "no such table"}
    with pytest.raises(DeviceFailed, match="no such table"):
        processes.ask([({"do": "sleep"}, ()), (error, ())])
    assert all(gone(process) for process in before)


def test_a_privacy_error_stays_one(processes: DeviceProcesses) -> None:
    """As one process would raise it."""
    error = {"error": "PrivacyError", "text": "one loss per example"}
    with pytest.raises(PrivacyError, match="one loss per example"):
        processes.ask([({"do": "sleep"}, ()), (error, ())])


def test_they_end_with_their_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to be told."""
    monkeypatch.setattr(device_processes, "_MODULE", "tests.client.device_stub")
    made = DeviceProcesses(RunConfig(), None, None, ("cpu", "cpu"))
    made.ask([({}, ()), ({}, ())])
    running = made.process_ids
    del made
    gc.collect()
    assert all(gone(process) for process in running)


def test_they_end_with_a_process_that_is_killed() -> None:
    """It closes nothing itself."""
    code = (
        "import sys; from client import device_processes as d\n"
        "from shared.config import RunConfig\n"
        "d._MODULE = 'tests.client.device_stub'\n"
        "made = d.DeviceProcesses(RunConfig(), None, None, ('cpu', 'cpu'))\n"
        "made.ask([({}, ()), ({}, ())])\n"
        "print(*made.process_ids, flush=True); sys.stdin.read()"
    )
    trainer = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert trainer.stdout is not None
    running = [int(number) for number in trainer.stdout.readline().split()]
    assert len(running) == 2
    trainer.kill()
    trainer.communicate()
    assert all(gone(process) for process in running)
