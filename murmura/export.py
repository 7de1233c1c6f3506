"""`murmura export`: a saved model for other programs, with its privacy in the metadata."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from murmura.machine import json_line
from murmura.opened import Run, TaskName, headline, opened
from murmura.options import Machine
from shared.errors import ConfigurationError, StateError


class FormName(StrEnum):
    """Forms of a model."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    ONNX = "onnx"
    INT8 = "int8"


def export(
    run: Run,
    *,
    form: Annotated[
        FormName,
        typer.Option("--format", help="torch: a .pt2 program; int8: ONNX with 8-bit weights."),
    ] = FormName.SAFETENSORS,
    task: TaskName = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it goes. [dim]default: the run folder[/dim]"),
    ] = None,
    machine: Machine = False,
) -> None:
    """Export a finished run's model: safetensors, torch, ONNX, int8.

    What is written is read back and compared with the model on public data; unit, epsilon by
    observer, delta and the digest of the privacy report are in its metadata.

    [green]murmura export runs/ID --format onnx[/green]
    """
    with _quiet():
        from shared.exporting import FORMS  # noqa: PLC0415 - slow, and needed by no help
        from shared.exporting import export as exported  # noqa: PLC0415 - likewise

        saved = opened(run, task)
        digest = _report_digest(saved.folder)
        target = out or run / f"exported{FORMS[form.value].suffix}"
        done = exported(saved, form.value, target, digest)
    if machine:
        content = {
            "file": str(done.path),
            "format": form.value,
            "bytes": done.size,
            "relative_difference": done.difference,
            "metadata": dict(done.metadata),
        }
        typer.echo(json_line(content))
        return
    console = Console(highlight=False, soft_wrap=True)
    headline(console, saved)
    console.print(f"{done.path}: {done.size:,} bytes; report {digest[:16]} in its metadata")
    console.print(
        f"read back; on public data its outputs differ from the model's by {done.difference:.2g}, "
        "relatively"
    )


def _report_digest(folder: Path | None) -> str:
    """Digest of the run's report, which must be the one that the run ended with."""
    from server.report.verify import report_digest  # noqa: PLC0415 - slow, and needed by no help

    if folder is None:
        raise ConfigurationError(
            "export needs a run folder, since the report's digest goes into the file; got a file"
        )
    report, summary = (_json(folder / name) for name in ("report.json", "summary.json"))
    digest = report_digest(report)
    if summary.get("report_digest") != digest:
        raise StateError(
            f"expected the report that the run ended with in {folder}, got another; "
            "`murmura report verify` shows what differs"
        )
    return digest


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"expected a finished run with {path}, got none") from error
    if not isinstance(found, dict):
        raise StateError(f"expected a JSON object in {path}, got another value")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries' warnings go where their log lines go: nowhere, unless somebody listens."""
    import torch  # noqa: F401, PLC0415 - slow; sets its loggers' levels when it is imported

    root, exporter = logging.getLogger(), logging.getLogger("torch.onnx")
    nobody, level = logging.NullHandler(), exporter.level
    root.addHandler(nobody)
    exporter.setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        exporter.setLevel(level)
        root.removeHandler(nobody)
