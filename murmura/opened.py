"""What the verbs that look at a trained model share: options, opening, and what is said first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from murmura.running import search_current_folder
from murmura.wording import OBSERVERS, UNITS, epsilon_text, model_text, signs_for

if TYPE_CHECKING:
    from shared.saved_model import SavedModel
    from shared.task import Examples

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or a model.safetensors alone.")
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task", metavar="NAME", help="The model's task: needed for module:object of your own."
    ),
]
OwnData = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="This site's own records instead of the public ones: what comes out is private.",
    ),
]


def opened(run: Path, task: str | None, data: Path | None = None) -> "SavedModel":
    """The model of `run`, for the records in `data` if there are any."""
    from shared.saved_model import open_model  # noqa: PLC0415 - slow, and needed by no help

    search_current_folder()
    return open_model(run, task_name=task, data_dir=data)


def records(saved: "SavedModel", data: Path | None) -> "Examples":
    """The public evaluation data, or this site's own records where `data` says so; normalised."""
    from client.own_records import own_records  # noqa: PLC0415 - likewise

    found = saved.task.evaluation_data() if data is None else own_records(saved.task)
    return saved.normalised(found)


def about(saved: "SavedModel") -> dict[str, Any]:
    """What is known of the model, for machines."""
    told = saved.metadata
    return {
        "task": told["task"],
        "model": told["model"],
        "unit": told["unit"],
        "adjacency": told["adjacency"],
        "epsilon": json.loads(told["epsilon"]),
        "delta": float(told["delta"]),
        "seeded": told["seeded"] == "true",
    }


def bearing(told: Mapping[str, Any]) -> str:
    """Whom the promise of a model protects, and against whom: what its epsilon is of."""
    if told["unit"] == "none":
        return UNITS["none"]
    relation = told["adjacency"].replace("_", " ")
    return f"{UNITS[told['unit']]}, {relation}, against the {OBSERVERS['released_model']}"


def headline(console: Console, saved: "SavedModel") -> None:
    """Which model this is and what it promises."""
    told, signs = about(saved), signs_for(console.encoding)
    epsilon = told["epsilon"].get("released_model")
    promise = f"{signs.epsilon} {epsilon_text(epsilon, signs)} at {signs.delta} {told['delta']:g}"
    facts = [told["task"], model_text(told["model"]), f"{promise} for {bearing(told)}"]
    if told["seeded"]:
        facts.append("seeded: no guarantee")
    console.print(Text(f" {signs.dot} ", style="dim").join([Text(fact) for fact in facts]))


def warning(data: Path | None) -> str:
    """What must be said of results; "" where they come from public data."""
    from client.own_records import STAYS_HERE  # noqa: PLC0415 - likewise

    return "" if data is None else STAYS_HERE


def warn(data: Path | None) -> None:
    """Say it on stderr, so that no pipe swallows it."""
    if text := warning(data):
        Console(stderr=True).print(Text.assemble(("private: ", "bold red"), text))
