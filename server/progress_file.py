"""What a run tells, kept in its folder as well: progress.jsonl, one JSON object a line.

Whoever started a run that another process plays reads there what `server.progress` tells in this
one, and how the run ended. The first line of each start says who plays it; a refusal is its class
and its text, which hold no secret (shared/errors.py). A last line that a crash cut short is left
out by a reader, and taken off by the next start.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from server.progress import LOGGER, Progress, RoundFinished, RunFinished, RunStarted
from server.run_folder import SUMMARY, RunFolder
from shared import errors
from shared.dp.claim import Claim
from shared.errors import FederationError, StateError

PROGRESS = "progress.jsonl"
_LABEL = "event"


@dataclass(frozen=True, slots=True)
class Opened:
    """A process has begun to play the run; it holds the folder as long as it does."""

    pid: int
    number: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The run ended without a result: class and text of what ended it."""

    kind: str
    text: str


Told = Progress | Opened | Ended
_KINDS: dict[str, type[Any]] = {
    "opened": Opened,
    "started": RunStarted,
    "round": RoundFinished,
    "finished": RunFinished,
    "ended": Ended,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class _Writer(logging.Handler):
    """Appends progress events."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(logging.INFO)
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "progress", None)
        if event is not None:
            self._folder.append_line(PROGRESS, line_of(event), durable=False)


@contextmanager
def progress_file(folder: RunFolder, number: str) -> Iterator[None]:
    """Within it, what the run tells is appended, and so is the error that ends it.

    Args:
        folder: The run's, held by this process.
        number: Of the run, as Flower counts.

    Raises:
        StateError: the file cannot be written.
    """
    folder.read_lines(PROGRESS)
    folder.append_line(PROGRESS, line_of(Opened(os.getpid(), number)), durable=False)
    writer, level = _Writer(folder), LOGGER.level
    LOGGER.addHandler(writer)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    except FederationError as error:
        folder.append_line(PROGRESS, line_of(Ended(kind_of(error), str(error))), durable=False)
        raise
    finally:
        LOGGER.removeHandler(writer)
        LOGGER.setLevel(level)


def line_of(event: Told) -> dict[str, Any]:
    """`event` as strict JSON: what is not finite is a text, the summary stays in its own file."""
    content = asdict(event)
    if isinstance(event, RunStarted):
        content["planned_claims"] = [claim.to_json() for claim in event.planned_claims]
    if isinstance(event, RunFinished):
        del content["summary"]
    return {_LABEL: _NAMES[type(event)]} | {key: _plain(value) for key, value in content.items()}


def event_of(line: Mapping[str, Any]) -> Told:
    """What `line_of` made a line of. Raises StateError on anything else."""
    try:
        kind = _KINDS[line[_LABEL]]
        content = {spec.name: line[spec.name] for spec in fields(kind) if spec.name in line}
        if "folder" in content:
            content["folder"] = Path(content["folder"])
        if kind is RunFinished:
            content["summary"] = RunFolder(content["folder"]).read_json(SUMMARY)
        elif kind is RunStarted:
            content["planned_claims"] = tuple(map(_claim, content["planned_claims"]))
        elif kind is RoundFinished:
            content = {key: _number(value) for key, value in content.items()}
            content["quarantined"] = tuple(content["quarantined"])
            # A run that an older version began tells none.
            measured = content.get("metrics", {})
            content["metrics"] = {name: _number(value) for name, value in measured.items()}
        event: Told = kind(**content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"{PROGRESS} holds a line of another form") from error
    return event


def kind_of(error: FederationError) -> str:
    """The nearest class of shared/errors.py that `error` is of, by name."""
    known = [kind for kind in type(error).__mro__ if vars(errors).get(kind.__name__) is kind]
    return str(known[0].__name__)


def error_of(kind: str, text: str) -> FederationError:
    """What another process raised, as far as it said; of an unknown class the root of all."""
    found = vars(errors).get(kind, FederationError)
    if not (isinstance(found, type) and issubclass(found, FederationError)):
        found = FederationError
    made: FederationError = found.__new__(found)
    made.args = (text,)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _written(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, Path) else value


def _written(value: float) -> float | str:
    text = repr(value)
    return text if text in {"inf", "-inf", "nan"} else value


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value


def _claim(line: Mapping[str, Any]) -> Claim:
    content = {key: _number(value) for key, value in line.items()}
    content["covers"], content["not_covered"] = map(tuple, (line["covers"], line["not_covered"]))
    return Claim(**content)


class ProgressReader:
    """Reads what is appended to a run's progress file, from where it ends now.

    Args:
        folder: The run's; need not be there yet.
        whole: Begin at its start instead.
    """

    def __init__(self, folder: Path, *, whole: bool = False) -> None:
        self._folder, self._path = folder, folder / PROGRESS
        self._at = 0
        if not whole and self._path.exists():
            # Only whole lines: the next start takes a torn one off.
            self._at = self._path.read_bytes().rfind(b"\n") + 1

    def new(self) -> Iterator[Told]:
        """Every event whose line is whole and was not given yet. Raises StateError."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                *lines, _torn = file.read().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"{self._path} cannot be read: {error}") from error
        for line in lines:
            self._at += len(line) + 1
            try:
                content = json.loads(line)
            except ValueError as error:
                raise StateError(f"{self._path} must hold one JSON object a line") from error
            if not isinstance(content, dict):
                raise StateError(f"{self._path} must hold one JSON object a line")
            if "folder" in content:
                # A run that was moved, or copied, tells where it was.
                content["folder"] = str(self._folder)
            yield event_of(content)
