"""What the command's exit status means, and how an error becomes one.

0 done; 1 a defect of the program; 2 configuration or usage; 3 refused for privacy's sake;
4 the federation failed; 5 data, files or saved state; 128 + n stopped by signal n.
"""

import os
import signal
from dataclasses import dataclass
from enum import IntEnum

import click

from shared.errors import (
    ConfigurationError,
    DataError,
    FederationError,
    PrivacyError,
    StateError,
)


class ExitCode(IntEnum):
    """Exit statuses of `murmura`; a script may rely on them."""

    OK = 0
    DEFECT = 1
    CONFIGURATION = 2
    PRIVACY = 3
    FEDERATION = 4
    DATA = 5
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class Interrupted(BaseException):
    """The user, or the system, asked the command to stop; notes on it say how to go on.

    No KeyboardInterrupt: typer would turn that into a bare exit.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the user sees it: one line, its kind, its exit status."""

    message: str
    kind: str
    code: int


# First match counts: PrivacyError and the like are FederationErrors too.
_KINDS: tuple[tuple[type[BaseException], str, ExitCode], ...] = (
    (ConfigurationError, "configuration", ExitCode.CONFIGURATION),
    (click.UsageError, "usage", ExitCode.CONFIGURATION),
    (PrivacyError, "privacy", ExitCode.PRIVACY),
    (DataError, "data", ExitCode.DATA),
    (StateError, "state", ExitCode.DATA),
    (FederationError, "federation", ExitCode.FEDERATION),
    (OSError, "files", ExitCode.DATA),
)


def failure_of(error: BaseException) -> Failure:
    """The one line, kind and exit status that `error` becomes; whatever is unforeseen is 1."""
    if isinstance(error, Interrupted):
        return Failure(str(error), "interrupted", 128 + error.signal_number)
    for accepted, kind, code in _KINDS:
        if isinstance(error, accepted):
            return Failure(_one_line(error), kind, code)
    return Failure(f"{type(error).__name__}: {_one_line(error)}", "defect", ExitCode.DEFECT)


def _one_line(error: BaseException) -> str:
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        # A number means nothing to people, and quotes of Python's are none of a shell's.
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
