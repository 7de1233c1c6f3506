"""What a run tells while it goes: records of the logger "murmura.progress" (docs/adr/0009).

The same for both transports: a terminal, a file or a test listens with a `logging.Handler` and
reads `record.progress`.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.dp.claim import Claim

LOGGER = logging.getLogger("murmura.progress")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """All checks have passed; the first round comes next.

    `aggregation` says how updates are summed under masks; empty where they are not.
    """

    run_id: str
    folder: Path
    rounds: int
    population: int
    task: str
    model: str
    dimension: int
    planned_claims: Sequence[Claim]
    seeded: bool
    first_round: int
    aggregation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished:
    """A round is over and safely on disk; loss and accuracy are None where nothing was measured.

    `epsilon` is the running bound of the worst observer with a finite one; infinite without DP.
    `metrics` are all of the task's on public data, empty where nothing was measured. `private_loss`
    and `private_accuracy` are of the sites' own data, with noise. `rejected` counts
    updates that a robust rule found far off, or that could not be used; `quarantined` are asked no
    more. `bytes_down` and `bytes_up` are what messages to clients and from them held, None where a
    cohort engine made none.
    """

    round_number: int
    rounds: int
    asked: int
    answered: int
    lost: int
    loss: float | None
    accuracy: float | None
    epsilon: float
    epsilon_budget: float
    seconds: float
    private_loss: float | None = None
    private_accuracy: float | None = None
    rejected: int = 0
    quarantined: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    bytes_down: int | None = None
    bytes_up: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """Model, report and summary are written."""

    folder: Path
    summary: Mapping[str, Any]


Progress = RunStarted | RoundFinished | RunFinished


def tell(text: str, event: Progress) -> None:
    """Tell whoever listens: `text` for people, `event` for programs."""
    LOGGER.info(text, extra={"progress": event})


def told(event: RoundFinished) -> str:
    """A round in a line."""
    accuracy = "" if event.accuracy is None else f", accuracy {event.accuracy:.4f}"
    # Four digits are exact: the accountant rounds up to them.
    spent = f"epsilon {event.epsilon:.4f}" if math.isfinite(event.epsilon) else "no privacy"
    return f"{event.answered} of {event.asked} answered{accuracy}, {spent}"
