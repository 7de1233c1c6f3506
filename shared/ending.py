"""Another process of this machine that is asked to end."""

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

_LOOK_S = 0.05


def end_process(pid: int, runs: Callable[[], bool], timeout_s: float) -> bool:
    """Ask a process to end, and wait until it is gone with its memory.

    What a process lets go of as it ends, a lock, says that it has done its work; it is some
    hundredths of a second from there to its end. Where the system tells of an end (Linux), that is
    what is waited for; elsewhere, or where a container forbids it, it is `runs` alone.

    Args:
        pid: Of a process that this user may signal.
        runs: Whether it still holds what it holds while it works.
        timeout_s: Seconds that it is given.

    Returns:
        Whether it ended.

    Raises:
        PermissionError: the process is another user's.

    Source: pidfd_open(2), whose descriptor can be read from once the process has ended.
    """
    deadline = time.monotonic() + timeout_s
    with ExitStack() as opened:
        descriptor = None
        with suppress(OSError, AttributeError):
            # Opened before it is asked: the number may be another process's as soon as it ended.
            descriptor = os.pidfd_open(pid)
            opened.callback(os.close, descriptor)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while runs():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        if descriptor is None:
            return True
        left_s = max(0.0, deadline - time.monotonic())
        return bool(select.select([descriptor], [], [], left_s)[0])
