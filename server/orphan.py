"""A run's process does not outlive what started it: it would hold its run folder, in vain.

Flower's own watch sends SIGINT, and its handler then waits for a server that is gone, for minutes.
Here such a process ends some seconds later as by `kill -9`, which every file of a run is made to
survive.
"""

import os
import signal
import threading

_LOOK_S = 0.2
_LEAVE_S = 2.0  # in which Flower may still tell a server that is there


def end_with_parent(leave_s: float = _LEAVE_S) -> None:
    """From now on this process is killed once the process that started it is gone."""
    # Not PR_SET_PDEATHSIG: that is of the thread that started it, which may end before.
    parent, never = os.getppid(), threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            never.wait(_LOOK_S)
        never.wait(leave_s)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="orphan").start()
