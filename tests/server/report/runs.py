"""Small finished runs, and reports with one digit changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.report.recomputation import Recomputation
from shared.config import Scalar

RUN: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 4,
    "population.size": 3,
    "population.examples_per_client": 40,
    "training.batch_size": 40,
    "training.sample_rate": 1.0,
    "privacy.noise_multiplier": 4.0,
    "evaluation.private_every": 2,
    "audit.canaries": 60,
    "output.run_id": "run",
    "output.tensorboard": False,
}
# Each must pass, so that each part of the second computation is used.
KINDS: dict[str, dict[str, Scalar]] = {
    "record": {},
    "sampled records": {"training.sample_rate": 0.5, "rounds": 2, "seed": 3},
    "sampled clients of records": {"cohort.sample_rate": 0.5, "rounds": 6, "seed": 11,
                                   "population.size": 5, "cohort.minimum_survivors": 0.0},
    "statistics": {"statistics.private": True, "statistics.high": 16.0},
    "clients": {"privacy.unit": "client", "privacy.epsilon_budget": 100.0},
    "sampled clients": {
        "privacy.unit": "client", "cohort.sample_rate": 0.6, "rounds": 2,
        "privacy.clipping": "adaptive", "population.size": 4, "cohort.minimum_survivors": 0.0,
    },
    "truncated": {
        "privacy.unit": "client", "cohort.sample_rate": 0.02, "rounds": 1, "population.size": 60,
        "population.examples_per_client": 20, "evaluation.private_every": 0,
        "cohort.minimum_survivors": 0.0, "privacy.delta": 1e-4,
    },
    "banded": {
        "privacy.unit": "client", "privacy.correlation": "banded", "privacy.bands": 2,
        "privacy.min_separation": 2,
    },
    "tree": {
        "privacy.unit": "client", "privacy.correlation": "tree", "privacy.min_separation": 1,
        "evaluation.private_every": 0,
    },
    "weak": {"privacy.noise_multiplier": 0.3, "privacy.epsilon_budget": 300.0},
    "hopeless": {"privacy.noise_multiplier": 0.1, "privacy.epsilon_budget": 2000.0},
    "by a median": {"server.aggregation": "median", "server.byzantine": 1.0},
    "none": {"privacy.unit": "none", "evaluation.private_every": 0},
}  # fmt: skip


def content(run: Path, name: str = "report.json") -> Any:
    """A JSON file of the run."""
    return json.loads((run / name).read_text())


def again(run: Path) -> Recomputation:
    """The second computation of a run."""
    config = {key: entry["value"] for key, entry in content(run, "config.json").items()}
    lines = [
        [json.loads(line) for line in (run / name).read_text().splitlines()]
        for name in ("charges.jsonl", "metrics.jsonl")
    ]
    return Recomputation(config, *lines)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number of a report, and where it stands."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from leaves(entry, (*path, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every text of a report, and where it stands."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from texts(entry, (*path, key))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from texts(entry, (*path, place))
    elif isinstance(value, str):
        yield path, value


def put(report: Any, path: tuple[Any, ...], value: Any) -> None:
    """Change one place."""
    for key in path[:-1]:
        report = report[key]
    report[path[-1]] = value


def changed_digits(text: str) -> Iterator[str]:
    """`text` with one digit changed, each of its digits in turn."""
    for place, digit in enumerate(text):
        if digit in "0123456789":
            yield text[:place] + str((int(digit) + 1) % 10) + text[place + 1 :]


def changed_numbers(value: float) -> Iterator[float]:
    """`value` with one digit changed, each of its digits in turn."""
    for text in changed_digits(repr(value)):
        changed = type(value)(text)
        if changed != value:
            yield changed
