"""`murmura predict`: what a saved model says of inputs in files."""

import csv
from inspect import Parameter, signature
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.opened import Run, TaskName, about, headline, opened
from murmura.options import Machine
from murmura.own_file import write_own
from shared.domains import positive
from shared.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from shared.looking import AnswersTexts
    from shared.saved_model import SavedModel

_SHOWN = 50  # rows of the table; the rest are counted
_LEFT_OUT = "left out by the task's rules"
Guess = tuple[str, float | None]  # what it is, and how sure the model is of it


def predict(  # noqa: PLR0913 - one parameter for each option
    run: Run,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Pictures, sounds, tables, texts: as the task reads."
        ),
    ],
    *,
    task: TaskName = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Whose pipeline.toml or masking.toml is used, if not the run's own folder's.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", help="How many classes are listed.")] = 3,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row for each input.")
    ] = None,
    machine: Machine = False,
) -> None:
    """Predict: what the model says of each input in FILES, most likely first.

    Probabilities are the model's own, and need not be calibrated. What a model says of private
    inputs is as private as they are.

    [green]murmura predict runs/ID shoe.png[/green]
    """
    if not positive()["domain"][1](top):
        raise ConfigurationError(f"--top must be positive, got {top}")
    saved = opened(run, task, data)
    rows = [row for path in files for row in _of_file(saved, path, top)]
    if out is not None:
        _write(out, rows)
    if machine:
        listed = [
            {"input": name, "predicted": [{"value": v, "probability": p} for v, p in guesses]}
            for name, guesses in rows
        ]
        typer.echo(json_line(about(saved) | {"predictions": listed}))
        return
    console = Console(highlight=False)
    headline(console, saved)
    _show(console, rows)
    if out is not None:
        typer.echo(str(out))


def _of_file(saved: "SavedModel", path: Path, top: int) -> list[tuple[str, list[Guess]]]:
    import torch  # noqa: PLC0415 - slow, and needed by no help

    from client.own_records import own_inputs  # noqa: PLC0415 - likewise
    from shared.looking import AnswersTexts  # noqa: PLC0415 - likewise
    from shared.measuring import outputs_of  # noqa: PLC0415 - likewise
    from shared.task import Examples  # noqa: PLC0415 - likewise

    if isinstance(saved.task, AnswersTexts) and path.suffix != ".npy":
        return _answers(saved.task, saved.network, path)
    read = own_inputs(saved.task, path)
    _check_taken(saved, len(read.inputs))
    # A record that a rule leaves out stays in its place: rows of the answer are rows of the file.
    guesses = list[list[Guess]]([] for _ in read.names)
    if len(read.rows):
        given = saved.normalised(Examples(read.inputs, torch.zeros(len(read.rows))))
        found = _guesses(saved, outputs_of(saved.network, given.inputs), top)
        for row, said in zip(read.rows, found, strict=True):
            guesses[row] = said
    one = len(read.names) == 1
    named = [str(path) if one else f"{path}:{name}" for name in read.names]
    return list(zip(named, guesses, strict=True))


def _answers(
    task: "AnswersTexts", network: "nn.Module", path: Path
) -> list[tuple[str, list[Guess]]]:
    """An answer to each line of a text file that is not empty."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"expected UTF-8 text in {path}, got none") from error
    return [
        (f"{path}:{number}", [(task.answered(network, line), None)])
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _check_taken(saved: "SavedModel", count: int) -> None:
    """Raise ConfigurationError unless the model is called with so many inputs."""
    taken = signature(saved.network.forward).parameters.values()
    if any(one.kind is Parameter.VAR_POSITIONAL for one in taken):
        return
    least = sum(one.default is Parameter.empty for one in taken)
    if not least <= count <= len(taken):
        raise ConfigurationError(
            f"task {saved.metadata['task']!r} has a model of {least} inputs, but reads {count} "
            "from a file"
        )


def _guesses(saved: "SavedModel", outputs: "Tensor", top: int) -> list[list[Guess]]:
    """What each row of `outputs` says."""
    from shared.looking import (  # noqa: PLC0415 - slow, and needed by no help
        DescribesOutputs,
        class_names,
        names_classes,
        tells_classes,
    )

    if isinstance(saved.task, DescribesOutputs):
        return [[(text, None)] for text in saved.task.describe(outputs)]
    if names_classes(saved.task, outputs) or tells_classes(saved.task.evaluation_data(), outputs):
        names = class_names(saved.task, outputs.shape[1])
        best = outputs.double().softmax(1).topk(min(top, len(names)))
        return [
            [(names[index], value) for index, value in zip(*row, strict=True)]
            for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
    if outputs[0].numel() > _SHOWN:
        raise ConfigurationError(
            f"task {saved.metadata['task']!r} must have a method `describe` for outputs of shape "
            f"{tuple(outputs.shape[1:])}, got none"
        )
    return [[(f"{value:.6g}", None) for value in row.reshape(-1).tolist()] for row in outputs]


def _show(console: Console, rows: list[tuple[str, list[Guess]]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("input", overflow="fold")
    table.add_column("predicted", overflow="fold")
    for name, guesses in rows[:_SHOWN]:
        table.add_row(name, ", ".join(map(_text, guesses)) or _LEFT_OUT)
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"and {len(rows) - _SHOWN} more: --out writes all")


def _text(guess: Guess) -> str:
    value, probability = guess
    return value if probability is None else f"{value} {100 * probability:.1f} %"


def _write(path: Path, rows: list[tuple[str, list[Guess]]]) -> None:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    longest = max((len(guesses) for _, guesses in rows), default=0)
    columns = [
        f"{kind}_{place + 1}" for place in range(longest) for kind in ("predicted", "probability")
    ]
    writer.writerow(["input", *columns])
    for name, guesses in rows:
        cells: list[Any] = [cell for guess in guesses for cell in guess]
        writer.writerow([name, *("" if cell is None else cell for cell in cells)])
    # Secrecy: a prediction is as private as its input, which may be anybody's record.
    write_own(path, text.getvalue())
