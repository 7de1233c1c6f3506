"""What an error's exit status is."""

import click
import pytest

from murmura.exit_codes import ExitCode, Failure, Interrupted, failure_of
from shared import errors


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.ConfigurationError("x"), "configuration", 2),
        (click.UsageError("x"), "usage", 2),
        (errors.PrivacyError("x"), "privacy", 3),
        (errors.BudgetExhausted("x"), "privacy", 3),
        (errors.ProtocolError("x"), "federation", 4),
        (errors.TooFewSurvivors("x"), "federation", 4),
        (errors.FederationError("x"), "federation", 4),
        (errors.DataError("x"), "data", 5),
        (errors.StateError("x"), "state", 5),
        (OSError("x"), "files", 5),
        (Interrupted("x", 2), "interrupted", 130),
        (Interrupted("x", 15), "interrupted", 143),
    ],
)
def test_every_foreseen_error_has_its_status(error: BaseException, kind: str, code: int) -> None:
    """A script can tell a refusal for privacy's sake from a typo."""
    assert failure_of(error) == Failure("x", kind, code)


def test_whatever_is_unforeseen_is_a_defect_and_names_its_type() -> None:
    """Never mistaken for one of the promised statuses."""
    assert failure_of(KeyError("k")) == Failure("KeyError: 'k'", "defect", ExitCode.DEFECT)


def test_a_message_of_many_lines_becomes_one() -> None:
    """So that logs can be searched line by line; an empty one names the type."""
    assert failure_of(errors.DataError("a\n  b")).message == "a b"
    assert failure_of(errors.DataError()).message == "DataError"


def test_an_error_of_the_system_names_the_file_first() -> None:
    """Without its number; one that is of no file stays as it is."""
    error = FileNotFoundError(2, "No such file or directory", "runs/x")
    assert failure_of(error).message == "runs/x: No such file or directory"
    assert failure_of(OSError(28, "No space left")).message == "[Errno 28] No space left"
