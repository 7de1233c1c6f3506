"""Where the time of a run goes, told where it is spent: `with span("noise"): ...`.

Costs a fraction of a microsecond where nobody records. A recorder counts, for each name, the time
in spans of that name less the time in spans inside them on the same thread.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock, get_ident, local

_NOTHING: AbstractContextManager[None] = nullcontext()
_MOST_EVENTS = 200_000  # that a browser still opens

NAMES = {
    "data": "records read, chosen and moved to the device",
    "parameters": "models loaded, and what they moved taken off them",
    "forward": "models called on records",
    "backward": "gradients",
    "clip": "norms of gradients and updates, and what they scale",
    "noise": "noise drawn and added",
    "step": "optimizers' steps, of clients and of the server",
    "aggregate": "updates added up",
    "messages": "messages made, sent, waited for and read",
    "ledger": "privacy budgets charged",
    "accounting": "epsilon worked out",
    "disk": "checkpoints, charges, logs and metrics written",
    "evaluate": "the model measured on public data",
    "report": "report and plots",
    "round": "what is left of a round",
    "run": "what is left: imports, models built, checks",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One span: begin and length in seconds since the recorder began, and its thread's number."""

    name: str
    begin: float
    seconds: float
    thread: int


@dataclass(slots=True)
class Recorder:
    """What was spent on what.

    Attributes:
        seconds: Name -> seconds in spans of it, added up over threads, without those inside them.
        calls: Name -> how many spans there were.
        events: The spans, those of the first 200,000 that ended.
        clock: In seconds.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter
    _begun: float = 0.0
    _threads: dict[int, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _own: local = field(default_factory=local)

    def __post_init__(self) -> None:
        """Begin."""
        self._begun = self.clock()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """As the function `span`."""
        inside: list[float] = getattr(self._own, "inside", None) or []
        self._own.inside = inside
        inside.append(0.0)
        begin = self.clock()
        try:
            yield
        finally:
            seconds = self.clock() - begin
            own = seconds - inside.pop()
            if inside:
                inside[-1] += seconds
            self._add(name, own, begin - self._begun, seconds)

    def _add(self, name: str, own: float, begin: float, seconds: float) -> None:
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + own
            self.calls[name] = self.calls.get(name, 0) + 1
            if len(self.events) < _MOST_EVENTS:
                thread = self._threads.setdefault(get_ident(), len(self._threads))
                self.events.append(Event(name, begin, seconds, thread))


_recorders: list[Recorder] = []


def span(name: str) -> AbstractContextManager[None]:
    """Within it, time is spent on `name`, one of `NAMES`."""
    return _recorders[-1].span(name) if _recorders else _NOTHING


@contextmanager
def recording(clock: Callable[[], float] = time.perf_counter) -> Iterator[Recorder]:
    """Within it, the spans of this process are recorded."""
    recorder = Recorder(clock=clock)
    _recorders.append(recorder)
    try:
        yield recorder
    finally:
        _recorders.remove(recorder)
