"""What a task may say, beyond `Task`, of its inputs and outputs, for people who look at a model.

Every method is optional: without it numbers stand where names would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from shared.task import Examples, Task

__all__ = [
    "AnswersTexts",
    "BlanksTokens",
    "DescribesOutputs",
    "ExplainsPlace",
    "NamesAxes",
    "NamesClasses",
    "NamesFeatures",
    "Read",
    "ReadsInputs",
    "ReadsRecords",
    "SpellsTokens",
    "Unexplained",
    "class_names",
    "feature_names",
    "names_classes",
    "tells_classes",
    "token_texts",
]  # fmt: skip


@runtime_checkable
class ReadsInputs(Protocol):
    """A task whose inputs can be read from files of its own kinds: images, tables, texts."""

    def read_inputs(self, paths: Sequence[Path]) -> tuple[Tensor, ...]:
        """Inputs of the model, a row for each record of the files. Raises DataError."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a file holds.

    Attributes:
        inputs: Of the model, a row for each record that is not left out.
        names: Of all records, in their order.
        rows: Which of `names` the inputs are of, from 0.
    """

    # Secrecy: the owner's records.
    inputs: tuple[Tensor, ...] = field(repr=False)
    names: Sequence[str]
    rows: Sequence[int]


@runtime_checkable
class ReadsRecords(Protocol):
    """A task whose files hold records with names, or rows that a public rule leaves out."""

    def read_records(self, path: Path) -> Read:
        """All of one file or folder. Raises DataError."""


@runtime_checkable
class NamesClasses(Protocol):
    """A task whose classes have public names."""

    def class_names(self) -> Sequence[str]:
        """A name for each output."""


@runtime_checkable
class NamesFeatures(Protocol):
    """A task of tables, whose columns have public names."""

    def feature_names(self) -> Sequence[str]:
        """A name for each column of the first input."""


@runtime_checkable
class SpellsTokens(Protocol):
    """A task of texts, whose tokens have a spelling."""

    def token_texts(self, tokens: Tensor) -> Sequence[str]:
        """How each of `tokens`, shape (t,), is written; "" for padding."""


@runtime_checkable
class DescribesOutputs(Protocol):
    """A task whose outputs are neither classes nor numbers that a person reads."""

    def describe(self, outputs: Tensor) -> Sequence[str]:
        """One line for each row of `outputs`."""


@runtime_checkable
class AnswersTexts(Protocol):
    """A task whose model answers a text by a text: it translates it, or goes on."""

    def answered(self, model: nn.Module, text: str) -> str:
        """What `model`, in evaluation mode, says to `text`."""


@runtime_checkable
class NamesAxes(Protocol):
    """A task whose first input is a signal: numbers on two axes that are no sides of a picture."""

    def axis_names(self) -> tuple[str, str]:
        """Of one number down and one across; the first of those down is drawn at the bottom."""


@runtime_checkable
class ExplainsPlace(Protocol):
    """A task with a row of scores at each place of a sequence, of which one can be explained."""

    def explained_place(self) -> int:
        """Which place of the outputs and targets, from 0; negative from the end."""


@runtime_checkable
class BlanksTokens(Protocol):
    """A task of texts, in which padding cannot stand where a token was."""

    def blank_token(self) -> int:
        """What stands there instead."""


@runtime_checkable
class Unexplained(Protocol):
    """A task of whose outputs no attribution says anything."""

    def why_unexplained(self) -> str:
        """In half a sentence."""


def tells_classes(examples: Examples, outputs: Tensor) -> bool:
    """Whether outputs are one score for each class of public `examples`.

    Their targets must be whole numbers, one an example, and each of them the place of an output.
    """
    targets = examples.targets
    if targets.is_floating_point() or targets.ndim != 1 or outputs.ndim != 2:
        return False
    return bool(len(targets)) and int(targets.max()) < outputs.shape[1] > 1


def names_classes(task: Task, outputs: Tensor) -> bool:
    """Whether the task has a name for each of a row's outputs, so that they are classes."""
    return (
        outputs.ndim == 2
        and isinstance(task, NamesClasses)
        and len(task.class_names()) == outputs.shape[1]
    )


def class_names(task: Task, count: int) -> list[str]:
    """`count` names; numbers unless the task names exactly as many."""
    named = list(task.class_names()) if isinstance(task, NamesClasses) else []
    return named if len(named) == count else [str(index) for index in range(count)]


def feature_names(task: Task, count: int) -> list[str]:
    """`count` names; numbers unless the task names exactly as many."""
    named = list(task.feature_names()) if isinstance(task, NamesFeatures) else []
    return named if len(named) == count else [f"column {index + 1}" for index in range(count)]


def token_texts(task: Task, tokens: Tensor) -> list[str]:
    """How each token of one text, shape (t,), is written; its number where the task tells not."""
    if isinstance(task, SpellsTokens):
        return list(task.token_texts(tokens))
    return [str(int(token)) for token in tokens]
