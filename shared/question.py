"""What is asked when a model's score is explained: of which inputs, against what, for which class.

The baseline comes from public data alone, so that it tells nothing of the records explained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.task import Examples

_PADDING = 0


class Kind(StrEnum):
    """What an input is: numbers on a grid, a row of numbers, or tokens."""

    PICTURE = "picture"
    TABLE = "table"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a model.

    Attributes:
        scores: The model, one row of scores for each input.
        inputs: Of the records, normalised; the first is explained, others are held as they are.
        baseline: What stands for "nothing there": the first input's, one row.
        classes: Whose score is explained, for each record.
    """

    scores: nn.Module
    inputs: tuple[Tensor, ...]
    baseline: Tensor
    classes: Tensor

    @property
    def kind(self) -> Kind:
        """Of the first input."""
        return kind_of(self.inputs[0])

    @property
    def nothing(self) -> Tensor:
        """The baseline for each record; padding of a text stays padding, and so gets no score."""
        first = self.inputs[0]
        found = self.baseline.expand_as(first)
        return found.where(first != _PADDING, first) if self.kind is Kind.TEXT else found

    @property
    def rest(self) -> tuple[Tensor, ...] | None:
        """The other inputs, as captum wants them."""
        return self.inputs[1:] or None


class _Scores(nn.Module):
    def __init__(self, network: nn.Module, place: int | None) -> None:
        super().__init__()
        self.network = network
        self._place = place

    def forward(self, *inputs: Tensor) -> Tensor:
        """A row of scores for each input."""
        found: Tensor = self.network(*inputs)
        if self._place is not None:
            found = found[:, self._place]
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2:
            raise ConfigurationError(
                f"explain needs a model with one row of scores for each input, got outputs of "
                f"shape {tuple(found.shape[1:])}"
            )
        return found


def kind_of(inputs: Tensor) -> Kind:
    """What `inputs`, shape (n, ...), are. Raises ConfigurationError where no method applies."""
    if inputs.is_floating_point() and inputs.ndim in (2, 3, 4):
        return Kind.TABLE if inputs.ndim == 2 else Kind.PICTURE
    if inputs.dtype == torch.int64 and inputs.ndim == 2:
        return Kind.TEXT
    raise ConfigurationError(
        f"explain knows pictures, rows of numbers and rows of tokens, got inputs of shape "
        f"{tuple(inputs.shape[1:])} and type {inputs.dtype}"
    )


def ask(
    network: nn.Module,
    records: Examples,
    public: Examples,
    chosen: int | None,
    *,
    place: int | None = None,
    blank: int = _PADDING,
) -> Question:
    """The question why `network` gives each record the class it gives it, or `chosen`.

    Args:
        network: In evaluation mode, on the CPU.
        records: Normalised.
        public: Public examples, normalised: where the baseline comes from, never from `records`.
        chosen: A class; None: each record's likeliest.
        place: Which of many rows of scores; None: there is one for each record.
        blank: The token that stands for "nothing there".

    Raises:
        ConfigurationError: no method knows such inputs or outputs; there is no such class.
    """
    scores = _Scores(network, place).eval()
    with torch.no_grad():
        found = scores(*records.inputs)
    if chosen is not None and not 0 <= chosen < found.shape[1]:
        raise ConfigurationError(f"class must be from 0 to {found.shape[1] - 1}, got {chosen}")
    classes = found.argmax(1) if chosen is None else torch.full((len(found),), chosen)
    first = public.inputs[0]
    baselines: Mapping[Kind, Callable[[], Tensor]] = {
        Kind.PICTURE: lambda: torch.full_like(first[:1], float(first.min())),  # black
        Kind.TABLE: lambda: first.mean(0, keepdim=True),
        Kind.TEXT: lambda: torch.full_like(first[:1], blank),
    }
    baseline = baselines[kind_of(records.inputs[0])]()
    return Question(scores=scores, inputs=records.inputs, baseline=baseline, classes=classes)
