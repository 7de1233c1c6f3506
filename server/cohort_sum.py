"""A grid that computes a whole cohort at once and hands over its sum: simulations alone have one.

No message is made, so nothing but the sum need fit into memory. What is computed is what the
clients' app computes (`simulations.cohort_engine`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from shared.dp.clipping import Vector
from shared.messages import TrainInstruction


@dataclass(frozen=True, slots=True)
class CohortSum:
    """What a cohort's updates add up to.

    Attributes:
        total: Σ clipped updates, shape (d,), float64, as `RoundSum` adds them.
        survivors: How many updates are in it.
        lost: Why a client's is not, by its name.
    """

    total: Vector = field(repr=False)
    survivors: int
    lost: Mapping[str, str]


@runtime_checkable
class CohortSums(Protocol):
    """A grid with a cohort engine."""

    def cohort_sum(self, instruction: TrainInstruction, cohort: Sequence[str]) -> CohortSum | None:
        """The sum over `cohort`; None: this run's clients must be asked one by one."""
