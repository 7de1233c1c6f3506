"""Events, claims and results of a run that never took place."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from server.progress import RoundFinished, RunStarted

RUN_ID = "20261123-180000-digits-1f2e"


@dataclass(frozen=True)
class PlannedClaim:
    """What is shown of a claim."""

    epsilon: float = 7.42
    delta: float = 1e-5
    unit: str = "record"
    adversary: str = "released_model"
    adjacency: str = "add_or_remove_one"


NO_CLAIM = PlannedClaim(epsilon=math.inf)
SUMS_ALONE = PlannedClaim(adversary="server_secagg_sum")
TRUSTED_SERVER = PlannedClaim(epsilon=math.inf, adversary="server_each_update")


def started(**changes: Any) -> RunStarted:
    """A run of 60 rounds begins."""
    fields: dict[str, Any] = {
        "run_id": RUN_ID,
        "folder": Path("runs") / RUN_ID,
        "rounds": 60,
        "population": 20,
        "task": "digits",
        "model": "mlp",
        "dimension": 26010,
        "planned_claims": (PlannedClaim(), NO_CLAIM),
        "seeded": False,
        "first_round": 1,
    }
    return RunStarted(**(fields | changes))


def round_finished(round_number: int, **changes: Any) -> RoundFinished:
    """One round of it ends."""
    fields: dict[str, Any] = {
        "round_number": round_number,
        "rounds": 60,
        "asked": 20,
        "answered": 19,
        "lost": 1,
        "loss": 0.5,
        "accuracy": 0.84,
        "epsilon": 0.1 * round_number,
        "epsilon_budget": 8.0,
        "seconds": 2.0,
    }
    return RoundFinished(**(fields | changes))


def console(*, width: int = 100, terminal: bool = True, encoding: str = "utf-8") -> Console:
    """A console that writes into memory; `printed` reads it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return Console(
        file=stream, width=width, height=40, force_terminal=terminal, color_system=None, _environ={}
    )


def printed(target: Console) -> str:
    """What was written to `target`."""
    stream = target.file
    stream.flush()
    assert isinstance(stream, io.TextIOWrapper)
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(stream.encoding)


def lines_within(text: str, width: int) -> bool:
    """Whether no line of `text` is longer than `width`."""
    return all(len(line) <= width for line in text.splitlines())


def summary_claim(adversary: str, epsilon: float | str, **changes: Any) -> dict[str, Any]:
    """One claim as `summary.json` has it."""
    fields: dict[str, Any] = {
        "adversary": adversary,
        "unit": "record",
        "epsilon": epsilon,
        "delta": 1e-5,
        "no_amplification_epsilon": 61.2,
        "budget_epsilon": 8.0,
    }
    return fields | changes


def summary(**changes: Any) -> dict[str, Any]:
    """The content of a `summary.json`."""
    fields: dict[str, Any] = {
        "accuracy": 0.842,
        "claims": [
            summary_claim("server_each_update", 7.42),
            summary_claim("released_model", "inf", no_amplification_epsilon="inf"),
        ],
        "verdict": {"level": "guaranteed_with_assumptions", "one_line": "little is learnt"},
        "seconds": 183.0,
        "rounds": 60,
        "clients_lost": 3,
    }
    return fields | changes
