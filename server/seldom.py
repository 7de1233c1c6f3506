"""Flower's state without the writes that it makes at every request and needs now and then.

For each object that a site fetches, Flower looks for tasks whose heartbeat failed to come (two
updates) and adds the object's bytes to a sum (a third). SQLite has one writer at a time, so that
with many sites most of a round is waiting for it. Here each is done once a second.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from flwr.supercore.corestate import sql_corestate
from sqlalchemy import event

EVERY_S = 1.0
PUSH_SESSION_S = 1800
BUSY_MS, CACHE_KIB = 25_000, 4096  # Flower's own requests last 30 s
Clock = Callable[[], float]


class Seldom:
    """Calls `inner` at the first call, and again once `EVERY_S` has passed since.

    Args:
        inner: Without arguments.
        clock: Seconds, never going back.
    """

    def __init__(self, inner: Callable[[], None], clock: Clock = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._last: float | None = None
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Do it, if it is time."""
        with self._lock:
            now = self._clock()
            if self._last is not None and now - self._last < EVERY_S:
                return
            self._last = now
        self._inner()


class Traffic:
    """Adds up the bytes of each run, and hands on what has come together.

    What came last may be handed on with the next run's request, or never: it is a figure for
    Flower's list of runs, and nothing rests on it.

    Args:
        inner: Flower's `store_traffic`.
        clock: Seconds, never going back.
    """

    def __init__(self, inner: Callable[..., None], clock: Clock = time.monotonic) -> None:
        self._inner, self._clock = inner, clock
        self._sums: dict[int, list[int]] = {}
        self._last = clock()
        self._lock = threading.Lock()

    def __call__(self, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        """Some more bytes of one run."""
        with self._lock:
            sums = self._sums.setdefault(run_id, [0, 0])
            sums[0] += bytes_sent
            sums[1] += bytes_recv
            if self._clock() - self._last < EVERY_S:
                return
            due, self._sums, self._last = self._sums, {}, self._clock()
        for run, (sent, received) in due.items():
            if sent or received:
                self._inner(run, bytes_sent=sent, bytes_recv=received)


def patient(holder: Any) -> Any:
    """`holder` of a database of Flower's, whose connections wait for it longer, and keep less.

    Flower gives up after 5 s, and its executor ends over it, with the run. To hand in the messages
    of a round is one transaction, and on a machine with much to do it takes longer than that.
    """
    event.listen(holder._engine, "connect", _settle)  # noqa: SLF001
    holder._engine.dispose()  # noqa: SLF001 - those that were opened before
    return holder


def _settle(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    # Flower maps 256 MiB of the file into every connection: the whole database, as often as there
    # are connections, would count as this process's memory and grow with what was ever run.
    connection.execute("PRAGMA mmap_size = 0")


def eased(state: Any) -> Any:
    """`state`, Flower's link state over SQLite, which writes seldom from now on.

    And which waits longer for the next object of a message: where hundreds of sites answer at
    once, that may take more than Flower's three minutes, and the message would be dropped.
    """
    vars(sql_corestate)["OBJECT_PUSH_SESSION_TTL_SECONDS"] = PUSH_SESSION_S
    state._cleanup_expired_task_tokens = Seldom(state._cleanup_expired_task_tokens)  # noqa: SLF001
    state.store_traffic = Traffic(state.store_traffic)
    return state
