"""`murmura explain`: which parts of an input moved a saved model's score."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from murmura.machine import json_line
from murmura.opened import (
    OwnData,
    Run,
    TaskName,
    about,
    headline,
    opened,
    warn,
    warning,
)
from murmura.options import Machine
from shared.errors import ConfigurationError, StateError


class Method(StrEnum):
    """Methods of attribution."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    SALIENCY = "saliency"
    LIME = "lime"
    KERNEL_SHAP = "kernel_shap"
    GRAD_CAM = "grad_cam"


def explain(  # noqa: PLR0913 - one parameter for each option
    run: Run,
    *,
    task: TaskName = None,
    data: OwnData = None,
    method: Annotated[
        list[Method] | None,
        typer.Option(help="Repeatable. [dim]default: all that apply to the model[/dim]"),
    ] = None,
    records: Annotated[int, typer.Option(metavar="N", help="How many records.")] = 6,
    start: Annotated[int, typer.Option(metavar="N", help="The first of them, from 0.")] = 0,
    chosen: Annotated[
        int | None,
        typer.Option("--class", metavar="K", help="Explain this class, not the likeliest."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where explained.png and explained.html go."),
    ] = None,
    machine: Machine = False,
) -> None:
    """Explain: [bold]what a model looks at[/bold], as a PNG and a page.

    Of the task's public evaluation data; with [bold]--data[/bold] of the site's own records, at
    the site: attributions of private records are private, and must not leave it.

    [green]murmura explain runs/ID --method saliency --records 3[/green]
    """
    from client.own_records import own_records  # noqa: PLC0415 - slow, and needed by no help
    from murmura.explain_page import page  # noqa: PLC0415 - likewise
    from murmura.explain_picture import picture  # noqa: PLC0415 - likewise
    from shared.attribution import need_extra  # noqa: PLC0415 - likewise
    from shared.explained import explain as explained_by  # noqa: PLC0415 - likewise

    need_extra()
    folder = _folder(run, data, out)
    saved = opened(run, task, data)
    found = saved.task.evaluation_data() if data is None else own_records(saved.task)
    rows = range(start, min(start + records, len(found)))
    methods = [name.value for name in method or []]
    explained = explained_by(saved, found, rows, methods, chosen)
    private = data is not None
    drawn = picture(explained, range(len(explained.rows)))
    _write(folder / "explained.png", drawn, private=private)
    text = page(explained, about(saved), warning(data))
    _write(folder / "explained.html", text.encode(), private=private)
    warn(data)
    if machine:
        content = about(saved) | {
            "private": private,
            "warning": warning(data),
            "picture": str(folder / "explained.png"),
            "page": str(folder / "explained.html"),
            "records": explained.to_json(),
        }
        typer.echo(json_line(content))
        return
    console = Console(highlight=False, soft_wrap=True)
    headline(console, saved)
    for place in range(len(explained.rows)):
        console.print(explained.title(place), markup=False)
    console.print(f"picture: {folder / 'explained.png'}", markup=False)
    console.print(f"page: {folder / 'explained.html'}", markup=False)


def _folder(run: Path, data: Path | None, out: Path | None) -> Path:
    """Where the files go: of private records never beside a run by default."""
    if out is not None:
        return out
    if data is not None:
        # Secrecy: run folders are passed on, with the model and its report.
        raise ConfigurationError(
            "--data needs --out DIR, a folder of this site that is not passed on; got none"
        )
    return run / "explained" if run.is_dir() else run.with_name("explained")


def _write(path: Path, content: bytes, *, private: bool) -> None:
    """Write the file; what is made of private records for its owner's eyes alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if private:
            path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, flags, 0o600 if private else 0o644), "wb") as file:
            file.write(content)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
