"""Methods that a task may have besides: what the server does with a model that is already out.

Each works on noised parameters and public data alone, so it is post-processing: it changes no
sensitivity, no observer and no charge, and it sends nothing to anybody but the parameters that
every client gets anyway.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class TrainsAtServer(Protocol):
    """A task of which the server trains one part of the model, without anybody's data.

    The part is in the flat vector like the rest, so that clients get it; their losses must have no
    gradient by it. What their updates hold for it is noise at most, and is thrown away.
    """

    server_part: ClassVar[str]  # the part's parameters are those whose names begin so

    def after_step(self, model: nn.Module, generator: torch.Generator, *, steps: int) -> None:
        """Train the part in place; deterministic in the model and the generator's state.

        Args:
            model: In training mode, on the server's device.
            generator: Where random numbers come from, on the CPU.
            steps: That a client makes in a round, `training.steps`; 1 where it goes by epochs.
        """


@runtime_checkable
class Scored(Protocol):
    """A task with scores that are no means over examples."""

    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """Scores of the model in evaluation mode, on public data; kept like metrics."""


@runtime_checkable
class Pictured(Protocol):
    """A task whose model can be looked at."""

    def pictures(self, model: nn.Module) -> Mapping[str, bytes]:
        """PNG files by name (`samples`), of public data or none, in evaluation mode."""
