"""Every sink of a run, none of which can end it, hold it up, or fail in silence.

Each has a thread of its own. One that raises is told once, in the log and on the terminal, and gets
nothing more; metrics.jsonl has everything, whatever becomes of a sink.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from server.sinks.figures import Figures, Sink

_LOGGER = logging.getLogger("murmura.server")
_CLOSE_S = 60.0
_TOLD = 300  # characters of what a library says


class _Worker:
    """One sink and its thread."""

    def __init__(self, sink: Sink) -> None:
        self.name = sink.name
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{sink.name}")
        self._asked: list[Future[None]] = []

    def write(self, round_number: int, figures: Figures) -> None:
        """Have it written, some time."""
        self._asked.append(self._thread.submit(self._sink.write, round_number, figures))

    def failure(self) -> BaseException | None:
        """What the first of those that are done raised, if any did."""
        done = [future for future in self._asked if future.done()]
        self._asked = [future for future in self._asked if not future.done()]
        return next((error for future in done if (error := future.exception())), None)

    def close(self) -> Future[None]:
        """Have it closed after whatever is still to be written."""
        closed = self._thread.submit(self._sink.close)
        self._asked.append(closed)
        self._thread.shutdown(wait=False)
        return closed


class Sinks:
    """The sinks of one run.

    Args:
        opened: As `server.sinks.opening` makes them.
    """

    def __init__(self, opened: Sequence[Sink] = ()) -> None:
        self._workers = [_Worker(sink) for sink in opened]

    def write(self, round_number: int, figures: Figures) -> None:
        """Give a round to all that have not failed."""
        for worker in list(self._workers):
            if (error := worker.failure()) is None:
                worker.write(round_number, figures)
                continue
            self._workers.remove(worker)
            worker.close()
            _tell(worker.name, error)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Let all of them finish, for so long."""
        workers, self._workers = self._workers, []
        _, late = wait([worker.close() for worker in workers], timeout_s)
        for worker in workers:
            if (error := worker.failure()) is not None:
                _tell(worker.name, error)
        if late:
            _LOGGER.warning(
                "%d of the run's sinks have not taken all figures within %g s; metrics.jsonl has "
                "them", len(late), timeout_s,
            )  # fmt: skip


def _tell(name: str, error: BaseException) -> None:
    said = " ".join(str(error).split())[:_TOLD]
    _LOGGER.warning(
        "%s gets no more figures of this run: %s: %s; metrics.jsonl has them all",
        name, type(error).__name__, said,
    )  # fmt: skip
