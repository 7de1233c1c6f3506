"""Records, what a model says of them, and which of their parts moved it: for pictures and pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shared.attribution import Attribution, applicable, attribute
from shared.errors import ConfigurationError
from shared.looking import (
    BlanksTokens,
    ExplainsPlace,
    NamesAxes,
    Unexplained,
    class_names,
    feature_names,
    tells_classes,
    token_texts,
)
from shared.question import Kind, ask
from shared.saved_model import SavedModel
from shared.task import Examples

_TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What `murmura explain` shows.

    Attributes:
        kind: Of the inputs.
        rows: Number of each record in its set, from 0.
        inputs: As they are shown: pictures without channels, columns, or tokens; shape (n, ...).
        parts: For tables the columns' names, once for each record; for texts its tokens; for
            pictures none.
        classes: Name of the class explained, for each record.
        sure: The model's probability of it; None where the model tells no classes.
        labels: What the record's label is called; None likewise.
        attributions: One for each method.
        axes: What one number down and one across are, of a signal; None: it is none.
    """

    kind: Kind
    rows: list[int]
    inputs: Tensor
    parts: list[list[str]]
    classes: list[str]
    sure: list[float | None]
    labels: list[str | None]
    attributions: list[Attribution]
    axes: tuple[str, str] | None = None

    def title(self, place: int) -> str:
        """What the model says of the record at `place` of these."""
        sure, label = self.sure[place], self.labels[place]
        told = "" if sure is None else f" ({100 * sure:.1f} %)"
        truth = "" if label is None else f"; labelled {label}"
        return f"record {self.rows[place]}: {self.classes[place]}{told}{truth}"

    def to_json(self) -> list[dict[str, Any]]:
        """For machines: of each record what the model says, and the strongest parts by method."""
        return [
            {
                "record": self.rows[place],
                "class": self.classes[place],
                "probability": self.sure[place],
                "label": self.labels[place],
                "strongest": {
                    found.method: self._strongest(found.scores[place], place)
                    for found in self.attributions
                },
            }
            for place in range(len(self.rows))
        ]

    def _strongest(self, scores: Tensor, place: int) -> list[dict[str, Any]]:
        flat = scores.reshape(-1)
        best = flat.abs().topk(min(_TOP, len(flat))).indices.tolist()
        return [{"part": self._part(place, at), "score": float(flat[at])} for at in best]

    def _part(self, place: int, at: int) -> str:
        if self.kind is Kind.PICTURE:
            row, column = divmod(at, self.inputs.shape[-1])
            down, across = self.axes or ("row", "column")
            return f"{down} {row}, {across} {column}"
        name = self.parts[place][at]
        return f"token {at}: {name}" if self.kind is Kind.TEXT else name


def explain(
    saved: SavedModel,
    records: Examples,
    rows: Sequence[int],
    methods: Sequence[str],
    chosen: int | None,
) -> Explained:
    """Why the model says what it says of some records.

    Args:
        saved: The model.
        records: As the task gives them; whoever calls knows whose they are.
        rows: Which of them, from 0.
        methods: Names of `attribution.METHODS`; none: all that apply.
        chosen: The class to explain; None: each record's likeliest.

    Raises:
        ConfigurationError: a row that is not there; a task of which nothing can be said; or as
            `ask` and `attribute` raise it.
    """
    task = saved.task
    if isinstance(task, Unexplained):
        raise ConfigurationError(
            f"explain has nothing to say of {saved.metadata['task']}: {task.why_unexplained()}"
        )
    if not rows or min(rows) < 0 or max(rows) >= len(records):
        raise ConfigurationError(
            f"expected records from 0 to {len(records) - 1}, got {list(rows) or 'none'}"
        )
    picked = records.select(torch.tensor(list(rows)))
    public = saved.normalised(task.evaluation_data())
    place = task.explained_place() if isinstance(task, ExplainsPlace) else None
    blank = task.blank_token() if isinstance(task, BlanksTokens) else 0
    question = ask(
        saved.network, saved.normalised(picked), public, chosen, place=place, blank=blank
    )
    found = attribute(question, list(methods) or applicable(question))
    with torch.no_grad():
        outputs = question.scores(*question.inputs)
    names, first, count = class_names(task, outputs.shape[1]), picked.inputs[0], len(rows)
    sure: list[float | None] = [None] * count
    labels: list[str | None] = [None] * count
    if tells_classes(_at(public, place), outputs):
        sure = outputs.softmax(1).gather(1, question.classes[:, None])[:, 0].tolist()
        labels = [names[int(target)] for target in _at(picked, place).targets]
    return Explained(
        kind=question.kind,
        rows=list(rows),
        inputs=first.mean(1) if first.ndim == 4 else first,
        parts=_parts(saved, question.kind, first),
        classes=[names[int(number)] for number in question.classes],
        sure=sure,
        labels=labels,
        attributions=found,
        axes=task.axis_names() if isinstance(task, NamesAxes) else None,
    )


def _at(examples: Examples, place: int | None) -> Examples:
    """With the targets of one place of many."""
    if place is None:
        return examples
    return Examples(examples.inputs, examples.targets[:, place])


def _parts(saved: SavedModel, kind: Kind, first: Tensor) -> list[list[str]]:
    if kind is Kind.TEXT:
        return [token_texts(saved.task, tokens) for tokens in first]
    if kind is Kind.TABLE:
        return [feature_names(saved.task, first.shape[1])] * len(first)
    return [[] for _ in first]
