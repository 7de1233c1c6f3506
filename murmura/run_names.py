"""Which runs a server's home holds, and which of them a name, a number or a folder is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from murmura.board import meaning_of
from server.home import ServerHome
from server.progress import RoundFinished, RunFinished, RunStarted
from server.progress_file import Ended, Opened, ProgressReader
from server.run_control import SubmittedRun
from server.run_folder import RunFolder
from shared.errors import StateError

_CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run, from its folder and, where the service tells, from Flower.

    Attributes:
        name: Of its folder; Flower's number where it has none.
        number: Flower's newest; "" if nobody tells.
        status: waiting, under way, finished, failed, stopped.
        rounds_done: On disk.
        rounds: Planned; 0 if it has not begun.
        epsilon: After the last round; None before.
        meaning: Delta, unit, adjacency and observers of that epsilon; "" where nothing is bounded.
        why: What ended it without a result.
        folder: Of its results; None where there is none.
    """

    name: str
    number: str
    status: str
    rounds_done: int
    rounds: int
    epsilon: float | None
    meaning: str
    why: str
    folder: Path | None

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "run": self.name,
            "number": self.number,
            "status": self.status,
            "rounds_done": self.rounds_done,
            "rounds": self.rounds,
            "epsilon": self.epsilon,
            "epsilon_is": self.meaning,
            "why": self.why,
            "run_folder": None if self.folder is None else str(self.folder),
        }


def folder_of(home: ServerHome, name: str) -> Path:
    """The folder of the run that `name` is: its folder's name or path, or Flower's number.

    Raises:
        StateError: there is none.
    """
    direct = home.runs / Path(name).name
    if name and (direct / _CONFIG).exists():
        return direct
    for folder in _folders(home):
        if any(isinstance(e, Opened) and e.number == name for e in _told(folder)):
            return folder
    raise StateError(f"expected a run of {home.runs}, got {name!r}; `murmura runs list` shows them")


def known_runs(home: ServerHome, submitted: Sequence[SubmittedRun]) -> list[KnownRun]:
    """Every run, oldest first.

    Args:
        home: The server's.
        submitted: What Flower tells; empty where the service does not run.
    """
    newest = {run.name or run.number: run for run in submitted}
    found = [of_folder(folder, newest.pop(folder.name, None)) for folder in _folders(home)]
    return found + [_without_folder(run) for run in newest.values()]


def of_folder(folder: Path, run: SubmittedRun | None) -> KnownRun:
    """What the folder's files say of its run, and Flower of one that has begun nothing yet."""
    events = _told(folder)
    started = next((e for e in events if isinstance(e, RunStarted)), None)
    rounds = [e for e in events if isinstance(e, RoundFinished)]
    last = events[-1] if events else None
    number = next((e.number for e in reversed(events) if isinstance(e, Opened)), "")
    why = f"{last.kind}: {last.text}" if isinstance(last, Ended) else ""
    if isinstance(last, RunFinished):
        status = "finished"
    elif RunFolder(folder).is_held():
        status = "under way"
    elif run is not None and not run.over and run.number != number:
        status = "waiting"
    elif run is not None and run.stopped:
        # What its process raised when it lost the service is no failure of the run's.
        status, why = "stopped", ""
    else:
        status = "failed" if why else "stopped"
    return KnownRun(
        name=folder.name,
        number=run.number if run else number,
        status=status,
        rounds_done=rounds[-1].round_number if rounds else 0,
        rounds=started.rounds if started else 0,
        epsilon=rounds[-1].epsilon if rounds else None,
        meaning=meaning_of(started.planned_claims) if started else "",
        why=why,
        folder=folder,
    )


def _without_folder(run: SubmittedRun) -> KnownRun:
    """One that has not begun, or was refused before it had a folder."""
    kind, text = run.raised
    status = "waiting" if not run.over else "stopped" if run.stopped else "failed"
    return KnownRun(
        name=run.name or run.number,
        number=run.number,
        status=status,
        rounds_done=0,
        rounds=0,
        epsilon=None,
        meaning="",
        why=f"{kind}: {text}" if kind else text,
        folder=None,
    )


def _folders(home: ServerHome) -> list[Path]:
    found = [path.parent for path in home.runs.glob(f"*/{_CONFIG}")]
    return sorted(found, key=lambda folder: (folder / _CONFIG).stat().st_mtime)


def _told(folder: Path) -> list[Any]:
    return list(ProgressReader(folder, whole=True).new())
