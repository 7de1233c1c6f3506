"""A process that is asked to end is gone when the asking returns."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.ending import end_process

# Lets go of its lock when asked to end, and is at its end for some seconds yet.
SLOW_END = """
import os, signal, sys, time
def ask(*_given):
    os.remove(sys.argv[1])
    time.sleep(float(sys.argv[2]))
    sys.exit(0)
signal.signal(signal.SIGTERM, ask)
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def started(lock: Path, lingers_s: float) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that holds `lock` until it is asked to end, and ends `lingers_s` after that."""
    lock.touch()
    command = [sys.executable, "-c", SLOW_END, str(lock), str(lingers_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_a_process_is_gone_and_not_only_its_lock(tmp_path: Path) -> None:
    """Whoever looks for it right after finds nothing."""
    lock = tmp_path / "lock"
    with started(lock, 0.5) as process:
        assert end_process(process.pid, lock.exists, 30)
        # Not waited for: it has ended already.
        assert process.poll() == 0


@pytest.mark.parametrize("known", [True, False])
def test_where_the_system_tells_of_no_end_the_lock_is_what_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """As on a system without pidfd, and in a container that forbids it."""

    def forbidden(_: int) -> int:
        raise PermissionError(1, "not permitted")

    if known:
        monkeypatch.setattr(os, "pidfd_open", forbidden, raising=False)
    else:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    lock = tmp_path / "lock"
    with started(lock, 60) as process:
        assert end_process(process.pid, lock.exists, 30)
        assert process.poll() is None


@pytest.mark.parametrize("locked", [True, False])
def test_a_process_that_goes_on_is_told_of(tmp_path: Path, *, locked: bool) -> None:
    """Whether it keeps what it holds or lets it go and stays."""
    lock = tmp_path / "lock"
    with started(lock, 60) as process:
        assert not end_process(process.pid, lambda: locked or lock.exists(), 1)
        assert process.poll() is None


def test_a_process_that_has_ended_already_is_gone() -> None:
    """Between the look for it and the asking; no other process is asked in its place."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert end_process(process.pid, lambda: False, 1)
