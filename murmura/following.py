"""A run that another process plays, followed to its end.

What that process tells comes from the run's progress file; that it lives, from the lock that it
has on the run's folder, which a process that dies lets go; how Flower sees the run, from the
service.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from murmura.board import Board
from murmura.exit_codes import Interrupted
from murmura.submitting import Submitted
from server.progress import RunFinished, RunStarted, tell
from server.progress_file import Ended, Opened, ProgressReader, Told, error_of
from server.run_control import RunControl
from server.run_folder import RunFolder
from server.service import running_pid
from shared.errors import FederationError, StateError

_LOOK_S, _ASK_S = 0.1, 1.0
_SETTLE_S, _STOP_S = 3.0, 20.0


def follow(run: Submitted) -> None:
    """Tell here what the run tells, until it is finished.

    Raises:
        FederationError: what ended it, of the class that its process said; or that its process
            died, that it was stopped, or that the service is gone.
    """
    folder, opened = RunFolder(run.folder), False
    next_question = time.monotonic() + _ASK_S
    while True:
        over = opened and not folder.is_held()
        if not opened and time.monotonic() > next_question:
            over = _is_over(run)
            next_question = time.monotonic() + _ASK_S
        # Asked before the file is read: whatever it told before it ended is there by now.
        events = list(run.told.new())
        if _tell(run, events):
            return
        if over and not events:
            raise _ending(run)
        opened = opened or any(isinstance(event, Opened) for event in events)
        time.sleep(_LOOK_S)


def _tell(run: Submitted, events: Sequence[Told]) -> bool:
    """Tell them here; whether the run is finished. Raises what ended it otherwise."""
    for event in events:
        if isinstance(event, Ended):
            # A process that is stopped may still raise, since nobody answers it any more.
            raise _stopped() if _is_stopped(run) else error_of(event.kind, event.text)
        if not isinstance(event, Opened):
            tell("", event)
    return any(isinstance(event, RunFinished) for event in events)


def _stopped() -> FederationError:
    return FederationError("the run was stopped")


def _is_stopped(run: Submitted) -> bool:
    try:
        return run.control.run(run.number).stopped
    except FederationError:
        return False


def _is_over(run: Submitted) -> bool:
    """Whether nothing more comes of it; a service that is just being restarted says so later."""
    try:
        return run.control.run(run.number).over
    except StateError:
        return running_pid(run.home) is None


def _ending(run: Submitted) -> FederationError:
    """Why a run ended that said nothing of it itself."""
    deadline = time.monotonic() + _SETTLE_S
    while not _is_over(run):
        if time.monotonic() > deadline:
            # Flower would wait a minute for a sign of life.
            with suppress(FederationError):
                run.control.stop(run.number)
            return FederationError("the process of the run has died")
        time.sleep(_LOOK_S)
    try:
        found = run.control.run(run.number)
    except StateError:
        return FederationError("the service has ended, and the run with it")
    if found.stopped:
        return _stopped()
    kind, text = found.raised
    if kind:
        return error_of(kind, text)
    return FederationError(f"the server's part of the run failed: {text or found.status}")


@contextmanager
def stopping(control: RunControl, folder: Path, board: Board) -> Iterator[None]:
    """Within it, whoever interrupts this process ends the run in `folder`, and waits for that.

    Args:
        control: The service's.
        folder: Of the run, also before it is submitted.
        board: What was shown of it; learns whether it had begun.
    """
    told = ProgressReader(folder)
    try:
        yield
    except Interrupted as interrupted:
        with suppress(FederationError):
            # By its name: the signal may have come while it was being submitted.
            for found in control.runs():
                if found.name == folder.name and not found.over:
                    control.stop(found.number)
        if not ends(folder):
            interrupted.add_note(f"the run has not ended within {_STOP_S:g} s")
        with suppress(StateError):
            for event in told.new():
                if isinstance(event, RunStarted) and board.started is None:
                    board.take(event)
        raise


def ends(folder: Path | None) -> bool:
    """Whether no process plays the run in `folder` any more, within a time."""
    deadline = time.monotonic() + _STOP_S
    while folder is not None and RunFolder(folder).is_held():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True
