"""`murmura report`: what a run promised, in the form that a reader wants; and a check of it."""

import json
import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from murmura.machine import json_line
from murmura.options import Machine
from shared.errors import PrivacyError, StateError


class _ShowByDefault(TyperGroup):
    """`murmura report runs/x` is `murmura report show runs/x`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is named, else `show`."""
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


# By a line's first word.
_STYLES = {
    "Guaranteed": "bold green", "Guaranteed,": "bold green", "Not": "bold red",
    "Inconclusive": "bold yellow", "critical": "red", "warning": "yellow", "against": "dim",
}  # fmt: skip


class Format(StrEnum):
    """Forms of a report."""

    TERMINAL = "terminal"
    HTML = "html"
    MARKDOWN = "markdown"
    JSON = "json"
    REGISTRY = "registry"


app = typer.Typer(
    cls=_ShowByDefault,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="A run's privacy report: [green]murmura report runs/ID[/green] shows it, "
    "[green]murmura report verify runs/ID[/green] recomputes it.",
)
Run = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="A finished run.")]


@app.command()
def show(
    run: Run,
    *,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TERMINAL,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where it goes. [dim]default: stdout[/dim]")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show the report, or write it in another form; the same numbers in each."""
    from server.report.forms import FORMS  # noqa: PLC0415 - slow, and needed by no help

    report = _report(run)
    if open_it:
        page = (run / "report.html").resolve()
        if not page.exists():
            raise StateError(f"expected a page to open in {run}, got no report.html")
        webbrowser.open(page.as_uri())
        return
    text = FORMS[form.value](report)
    if out is None:
        _print(text, form, run)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError(f"{out} cannot be written: {error.strerror}") from error
    typer.echo(str(out))


@app.command()
def verify(
    run: Run,
    *,
    machine: Machine = False,
) -> None:
    """Recompute every number from the run's charges; exit 3 if any differs."""
    from server.report.verify import verify as verified  # noqa: PLC0415 - slow, needed by no help

    findings = verified(run)
    if machine:
        listed = [{"path": f.path, "expected": f.expected, "found": f.found} for f in findings]
        typer.echo(json_line({"confirmed": not findings, "findings": listed}))
    elif not findings:
        typer.echo(f"confirmed: {run / 'report.json'} says what its charges say")
    else:
        for finding in findings:
            typer.echo(f"{finding.path}: expected {finding.expected}, found {finding.found}")
    if findings:
        raise PrivacyError(
            f"expected a report that its charges confirm, got {len(findings)} differences"
        )


def _print(text: str, form: Format, run: Path) -> None:
    if form is not Format.TERMINAL:
        typer.echo(text, nl=False)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in text.splitlines():
        console.print(Text(line, _STYLES.get(line.split(":")[0].split(" ")[0], "")))
    if (run / "report.html").exists():
        console.print(Text(f"page: {run / 'report.html'}", "dim"))


def _report(run: Path) -> dict[str, Any]:
    path = run / "report.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"expected a report in {path}, got none that can be read") from error
    return report
