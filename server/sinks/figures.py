"""What is told of a round: names and finite numbers, the same to every sink."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

SHOWN = (
    "loss", "accuracy", "private_loss", "private_accuracy", "epsilon", "seconds", "answered",
)  # fmt: skip
# Guarantee: no claim covers these (docs/privacy.md). How many answered tells of the draw of
# clients, which at client level is the server's secret; how long they took is a side channel.
OF_THE_SERVER = ("seconds", "answered")
Figures = Mapping[str, float]


class Sink(Protocol):
    """One place; whatever it raises ends it, not the run."""

    name: str

    def write(self, round_number: int, figures: Figures) -> None:
        """Keep one round."""

    def close(self) -> None:
        """All is there when this returns."""


def figures(line: Mapping[str, Any]) -> dict[str, float]:
    """Of a line of metrics.jsonl; what was not measured, or is not finite, is left out.

    A task's metric of one of our names is ours.

    >>> figures({"loss": 0.5, "epsilon": "inf", "metrics": {"loss": 0.5, "recall": 1.0}})
    {'loss': 0.5, 'metrics/recall': 1.0}
    """
    named = {name: line.get(name) for name in SHOWN}
    named |= {
        f"metrics/{name}": value
        for name, value in line.get("metrics", {}).items()
        if name not in SHOWN
    }
    return {
        name: float(value)
        for name, value in named.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
