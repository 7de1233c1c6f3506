"""A run as far as it has come, read from its folder; nothing there is changed.

Rounds that are played again after a crash replace what was told of them before.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from murmura.board import ClaimLike, worst_finite
from server.progress import RoundFinished, RunFinished, RunStarted
from server.progress_file import PROGRESS, Ended, ProgressReader, Told
from server.run_folder import RunFolder
from shared.errors import StateError

Points = list[tuple[float, float]]
_OF_A_ROUND = ("loss", "accuracy", "private_loss", "private_accuracy")


class Course:
    """One run, under way or over.

    Args:
        folder: The run's.

    Raises:
        StateError: there is no run in it.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / PROGRESS).is_file():
            raise StateError(f"expected a run folder, got {folder}, which has no {PROGRESS}")
        self.folder = folder
        self.started: RunStarted | None = None
        self._reader = ProgressReader(folder, whole=True)
        self._rounds: dict[int, RoundFinished] = {}
        self._last: Told | None = None
        self._damage = ""

    def look(self) -> "Course":
        """Take up what is new. Raises StateError on a file of another form, then and ever after."""
        if self._damage:
            raise StateError(self._damage)
        try:
            for event in self._reader.new():
                self._take(event)
        except StateError as error:
            self._damage = str(error)
            raise
        return self

    def _take(self, event: Told) -> None:
        self._last = event
        if isinstance(event, RunStarted):
            self.started = event
            self._rounds = {n: e for n, e in self._rounds.items() if n < event.first_round}
        elif isinstance(event, RoundFinished):
            self._rounds[event.round_number] = event

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.resolve().name

    @property
    def rounds(self) -> Sequence[RoundFinished]:
        """Those that are done, in their order."""
        return [self._rounds[number] for number in sorted(self._rounds)]

    @property
    def status(self) -> str:
        """finished, under way, failed or stopped."""
        if isinstance(self._last, RunFinished):
            return "finished"
        if RunFolder(self.folder).is_held():
            return "under way"
        return "failed" if self.why else "stopped"

    @property
    def why(self) -> str:
        """What ended it without a result; "" where nothing did."""
        last = self._last
        return f"{last.kind}: {last.text}" if isinstance(last, Ended) else ""

    @property
    def claim(self) -> ClaimLike | None:
        """What is planned for the worst observer to whom anything is promised."""
        return worst_finite(self.started.planned_claims) if self.started else None

    @property
    def summary(self) -> Mapping[str, Any]:
        """Of a run that is finished; else empty."""
        return self._last.summary if isinstance(self._last, RunFinished) else {}

    def metrics(self) -> list[str]:
        """Names of all that was measured besides what every run measures, in their order."""
        names = {name: None for event in self.rounds for name in event.metrics}
        return [name for name in names if name not in _OF_A_ROUND]

    def exchanged(self) -> tuple[Points, Points]:
        """Bytes to clients and from them, of each round where messages were counted."""
        return self.by_round("bytes_down"), self.by_round("bytes_up")

    def by_round(self, field: str) -> Points:
        """A number of `RoundFinished`, of each round where it is finite."""
        return _finite([(e.round_number, getattr(e, field)) for e in self.rounds])

    def measured(self, name: str) -> Points:
        """A metric of the task, or the loss, of each round where it is finite."""
        if name in _OF_A_ROUND:
            return self.by_round(name)
        return _finite([(e.round_number, e.metrics.get(name)) for e in self.rounds])

    def to_json(self) -> dict[str, Any]:
        """For machines; a number that is not finite is a text."""
        last = self.rounds[-1] if self.rounds else None
        return {
            "run": self.name,
            "status": self.status,
            "why": self.why,
            "rounds_done": last.round_number if last else 0,
            "rounds": self.started.rounds if self.started else 0,
            "epsilon": _strict(last.epsilon) if last else None,
            "epsilon_budget": last.epsilon_budget if last else None,
            "loss": _strict(last.loss) if last else None,
            "accuracy": _strict(last.accuracy) if last else None,
            "metrics": {name: _strict(v) for name, v in last.metrics.items()} if last else {},
            "seconds": sum(event.seconds for event in self.rounds),
            "bytes_down": _total([event.bytes_down for event in self.rounds]),
            "bytes_up": _total([event.bytes_up for event in self.rounds]),
            "clients_lost": sum(event.lost for event in self.rounds),
        }


def _finite(values: Sequence[tuple[int, float | None]]) -> Points:
    return [(float(n), float(v)) for n, v in values if v is not None and math.isfinite(v)]


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum; None unless every round was counted: a part of it would look cheap."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _strict(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
