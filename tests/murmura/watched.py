"""Folders of runs that never took place, as far as they have come."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from server.progress import RunFinished
from server.progress_file import PROGRESS, Ended, Opened, Told, line_of
from shared.config import RunConfig
from shared.dp.claims import planned_claims
from shared.dp.plan import PrivacyPlan
from tests.murmura.scripted import round_finished, started, summary

EVIL = '<script>alert("x")</script>&"\''


def claims_of(**settings: Any) -> tuple[Any, ...]:
    """What a run under these settings plans; keys with two underscores for a dot."""
    raw = {key.replace("__", "."): value for key, value in settings.items()}
    raw = {"rounds": 3, "privacy.epsilon_budget": 1e3} | raw
    return planned_claims(PrivacyPlan.from_config(RunConfig.from_run_config(raw)))


def events(count: int = 3, **changes: Any) -> list[Told]:
    """A run of 5 rounds that has come so far; `changes` are of its rounds."""
    rounds = [
        round_finished(
            number,
            **{
                "rounds": 5,
                "loss": 2.0 / number,
                "accuracy": 0.2 * number,
                "metrics": {"accuracy": 0.2 * number, "recall": 0.1 * number},
            }
            | changes,
        )
        for number in range(1, count + 1)
    ]
    begun = started(rounds=5, planned_claims=claims_of())
    return [Opened(1, "1"), begun, *rounds]


def put(folder: Path, told: Iterable[Told]) -> Path:
    """Append what was told to the run in `folder`, made if need be; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / PROGRESS).open("a") as file:
        file.writelines(json.dumps(line_of(event), allow_nan=False) + "\n" for event in told)
    return folder


def finished(folder: Path, told: Iterable[Told], **changes: Any) -> Path:
    """A run that is over, with a summary; returns its folder."""
    put(folder, [*told, RunFinished(folder=Path("elsewhere"), summary={})])
    (folder / "summary.json").write_text(json.dumps(summary(**changes)))
    return folder


def failed(folder: Path) -> Path:
    """A run that ended without a result; returns its folder."""
    return put(folder, [*events(1), Ended("TooFewSurvivors", f"1 of 3 {EVIL}")])
