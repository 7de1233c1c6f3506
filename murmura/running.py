"""One run from its settings to what the user is told at the end."""

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from murmura.exit_codes import Interrupted
from murmura.settings import Settings
from shared.config import RunConfig
from shared.errors import ConfigurationError, FederationError, PrivacyError, StateError
from shared.loading import loading

if TYPE_CHECKING:
    from murmura.board import Board


@dataclass(frozen=True, slots=True)
class Output:
    """How a run is shown: `machine` is `--json`."""

    machine: bool = False
    quiet: bool = False
    debug: bool = False
    profile: bool = False


def run_folder(config: RunConfig) -> Path:
    """Where this run's results go."""
    return Path(config.output.dir) / config.output.run_id


def resume_command(folder: Path) -> str:
    """What to type to go on with the run in `folder`."""
    return f"murmura simulate --resume {shlex.quote(str(folder))}"


def search_current_folder() -> None:
    """Let `module:object` name a module of the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        # At the end, so that a folder here that is called `server` or `client` does no harm.
        sys.path.append(here)


def run(settings: Settings, output: Output) -> None:
    """Run the federation, show its progress and its result.

    Raises:
        FederationError: as the federation raises it; its notes say how to go on.
        Interrupted: SIGINT or SIGTERM came.
    """
    config = settings.config()
    search_current_folder()
    # Slow to import: only once the settings are known to be right.
    from murmura.board import Board  # noqa: PLC0415
    from murmura.chatter import quieten_libraries  # noqa: PLC0415
    from murmura.live import showing, view_for  # noqa: PLC0415

    board = Board(config.runtime.device)
    view = view_for(Console(stderr=output.machine), board, quiet=output.quiet)
    with advising(board, resume_command(run_folder(config))), showing(board, view):
        quieten_libraries(debug=output.debug)
        with loading():
            from simulations.federation import simulate as run_federation  # noqa: PLC0415

        board.device = device_words(config)
        with measured(output) as profile:
            folder = run_federation(settings.raw())
    present(folder, config, output)
    profile(folder)


@contextmanager
def measured(output: Output) -> Iterator[Callable[[Path], None]]:
    """Within it, the time of a run is recorded, if it is to be told.

    Yields:
        Writes into the run folder where the time went, and prints it.
    """
    if not output.profile:
        yield lambda _: None
        return
    from murmura.profile import print_profile, write_profile  # noqa: PLC0415 - slow to import
    from shared.spans import recording  # noqa: PLC0415

    spent = [0.0]
    with recording() as recorder:

        def told(folder: Path) -> None:
            write_profile(folder, recorder, spent[0])
            if not output.quiet:
                print_profile(Console(stderr=output.machine), folder)

        begun = time.perf_counter()
        with recorder.span("run"):
            yield told
        spent[0] = time.perf_counter() - begun


def device_words(config: RunConfig) -> str:
    """Where training will run, as chosen by the rule that the clients choose by."""
    from shared import device  # noqa: PLC0415 - slow to import

    return device.device_words(config.runtime.device, config.runtime.gpu_memory_fraction)


@contextmanager
def advising(board: "Board", command: str) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM end the run, and whatever ends it says how to go on.

    Args:
        board: Tells whether the run has begun.
        command: With which it goes on.
    """

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's form
        started = board.started
        where = f" after round {board.rounds_done} of {started.rounds}" if started else ""
        raise Interrupted(f"stopped by {signal.Signals(number).name}{where}", number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (ConfigurationError, PrivacyError):
        raise  # what was refused once is refused again
    except (FederationError, Interrupted) as ended:
        if board.started is not None:
            ended.add_note(f"to go on: {command}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def present(folder: Path, config: RunConfig, output: Output) -> None:
    """Show the result of the run in `folder`, with a picture of who held what beside it."""
    from murmura.holdings import add_holdings  # noqa: PLC0415

    add_holdings(config, folder / "holdings.html")
    print_result(folder, output)


def print_result(folder: Path, output: Output) -> None:
    """Print what the run in `folder` came to."""
    from murmura.summary import print_summary  # noqa: PLC0415

    summary = read_summary(folder)
    if output.machine:
        typer.echo(json.dumps(summary, allow_nan=False))
    elif not output.quiet:
        print_summary(Console(), folder, summary)


def read_summary(folder: Path) -> dict[str, Any]:
    """What the server wrote down at the end of the run; raises StateError if it is not there."""
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"), parse_constant=str)
    except (OSError, ValueError) as error:
        raise StateError(f"the run ended without a readable {path}") from error
    if not isinstance(summary, dict):
        raise StateError(f"{path} must hold one object, got a {type(summary).__name__}")
    return summary
