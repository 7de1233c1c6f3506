"""Processes of the service: started without what would change them, ended with all they started."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from server.home import ServerHome
from shared.errors import StateError
from shared.log_lines import readable
from shared.memory_use import HUGE_PAGES

_STOP_S = 5.0
_LARGEST_LOG = 16 << 20


@dataclass(slots=True)
class Child:
    """A process of the service.

    Attributes:
        name: Of its log file.
        start: Starts it.
        process: While it runs.
        deaths: When it died lately, by the monotonic clock.
    """

    name: str
    start: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes] | None" = None
    deaths: list[float] = field(default_factory=list)


def child_environment(home: ServerHome) -> dict[str, str]:
    """This process's environment for a child, without whatever would change Flower.

    Flower calls nobody: no telemetry, no look for updates, nothing installed for a run. What the
    owner says of memory's pages stays as he says it.
    """
    kept = HUGE_PAGES | {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FLWR_", "PYTHONPATH"))
    }
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "FLWR_HOME": str(home.state / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    }


def start_child(
    home: ServerHome, name: str, command: list[str], environment: Mapping[str, str], stdin: int
) -> "subprocess.Popen[bytes]":
    """A process in a session of its own, whose output is appended to the log of `name`."""
    descriptor = os.open(log_of(home, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command,
            env=environment,
            cwd=home.root,
            stdin=stdin,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise StateError(f"{command[0]} cannot be started: {error}") from error
    finally:
        os.close(descriptor)


def log_of(home: ServerHome, name: str) -> Path:
    """Where the output of one process goes."""
    return home.logs / f"{name}.log"


def end_child(child: Child) -> None:
    """End a child and all it started: asked first, and made to after `_STOP_S`."""
    process = child.process
    if process is None:
        return
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    child.process = None


def keep_small(path: Path, largest: int = _LARGEST_LOG) -> None:
    """A log that grew beyond `largest` becomes PATH.1; whoever writes to it goes on."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > largest:
            older = path.with_name(f"{path.name}.1")
            older.write_bytes(path.read_bytes())
            os.truncate(path, 0)


def last_line(path: Path) -> str:
    """The last line of a log, or a hint that there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return readable(last) or f"{path} is empty"
