"""One round at a time, on demand: so that programs of several environments are timed in turn.

A program calls `turns.next(clients)` after each round. It prints the seconds since it was told to
go on, and then waits for the next line on its standard input: while it waits, another one runs.
Without libraries: it is imported in each peer's environment.
"""

import json
import os
import resource
import sys
import time

_CHANNEL = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever a framework prints goes to standard error


class Turns:
    """The turns of one program."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.next(0)

    def next(self, clients: int) -> None:
        """A round of so many clients is over; 0: ready for the first. "stop" ends the program."""
        seconds = time.perf_counter() - self._begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = {"clients": clients, "seconds": seconds, "peak_mib": peak}
        _CHANNEL.write(json.dumps(told) + "\n")
        if sys.stdin.readline().strip() != "go":
            os._exit(0)
        self._begun = time.perf_counter()
