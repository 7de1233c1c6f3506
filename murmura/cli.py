"""The command `murmura`: its verbs, and how errors leave it.

Whatever goes wrong becomes one line on stderr and an exit status (murmura/exit_codes.py); with
`--json` also one JSON object as the last line of stdout; a traceback only with `--debug`.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from io import TextIOWrapper
from types import TracebackType

import click
import typer

from murmura.audit import audit
from murmura.audit_log import app as audit_log_app
from murmura.client import app as client_app
from murmura.compare import compare
from murmura.doctor import doctor
from murmura.epsilon import epsilon
from murmura.evaluate import evaluate
from murmura.exit_codes import ExitCode, Interrupted, failure_of
from murmura.explain import explain
from murmura.export import export
from murmura.help_text import readable
from murmura.holdings import holdings
from murmura.ledger import app as ledger_app
from murmura.plan import plan
from murmura.predict import predict
from murmura.prepare import prepare
from murmura.report import app as report_app
from murmura.run import HELP as RUN_HELP
from murmura.run import run
from murmura.runs import app as runs_app
from murmura.secagg import app as secagg_app
from murmura.server import app as server_app
from murmura.simulate import HELP, simulate
from murmura.watch import watch
from shared.errors import FederationError
from shared.loading import end_at_once

_LIBRARIES = ("flwr", "torch", "opacus", "dp-accounting", "numpy")

app = typer.Typer(
    name="murmura",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    suggest_commands=False,  # click suggests already
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(help=HELP)(simulate)
app.command(help=RUN_HELP)(run)
app.add_typer(runs_app, name="runs")
app.command()(plan)
app.command()(epsilon)
app.command()(holdings)
app.command()(prepare)
app.add_typer(client_app, name="client")
app.add_typer(ledger_app, name="ledger")
app.add_typer(report_app, name="report")
app.add_typer(secagg_app, name="secagg")
app.add_typer(server_app, name="server")
app.command()(audit)
app.command()(evaluate)
app.command()(explain)
app.command()(export)
app.command()(predict)
app.add_typer(audit_log_app, name="audit-log")
app.command()(doctor)
app.command()(watch)
app.command()(compare)


@app.callback(invoke_without_command=True)
def _murmura(context: typer.Context) -> None:
    """Privacy-preserving federated learning whose privacy can be checked."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def version() -> None:
    """Print the versions of murmura and of what its results depend on."""
    typer.echo(f"murmura {_version_of('murmura')}")
    typer.echo(f"python {sys.version.split()[0]}")
    for library in _LIBRARIES:
        typer.echo(f"{library} {_version_of(library)}")


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status.

    Args:
        arguments: What follows the command's name; None: this process's own.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    end_at_once()
    _survive_any_encoding()
    if "--debug" not in given:
        sys.excepthook = _one_line_for_a_defect
    command = readable(typer.main.get_command(app))
    try:
        status = command.main(given, prog_name="murmura", standalone_mode=False)
    except (FederationError, OSError, click.ClickException, Interrupted) as error:
        return report(error, given)
    return int(status or ExitCode.OK)


def _survive_any_encoding() -> None:
    """Let a sign that the output cannot show become a question mark instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _one_line_for_a_defect(
    kind: type[BaseException],  # noqa: ARG001 - the form of sys.excepthook
    error: BaseException,
    trace: TracebackType | None,  # noqa: ARG001 - the form of sys.excepthook
) -> None:
    """Report what nobody foresaw; Python then exits with status 1."""
    error.add_note("this is a defect of murmura or of your task; --debug shows where")
    report(error, sys.argv[1:])


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the user of `error`; returns the exit status.

    Args:
        error: What ended the command; its notes are printed below it.
        arguments: The command's arguments: they may be why it failed, so they are not parsed.
    """
    failure = failure_of(error)
    if "--debug" in arguments:
        traceback.print_exception(error)
    prefix = "" if isinstance(error, Interrupted) else "error: "
    notes = getattr(error, "__notes__", [])
    typer.echo("\n".join([f"{prefix}{failure.message}", *notes]), err=True)
    if "--json" in arguments:
        typer.echo(
            json.dumps({"error": failure.message, "kind": failure.kind, "code": failure.code})
        )
    return failure.code


if __name__ == "__main__":
    sys.exit(main())
