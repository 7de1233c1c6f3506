"""Whether what was sampled over time grows: a slope beside its error, not a threshold by eye."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

PARTS, DAY_S = 12, 86_400.0
FIGURES = ("resident_mib", "descriptors", "threads")
Samples = dict[str, list[tuple[float, dict[str, float]]]]  # by process: time, figures


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Of the straight line through medians of parts of the time, and its standard error."""
    parts = np.array_split(np.arange(len(times)), PARTS)
    at = np.array([statistics.fmean(times[i] for i in part) for part in parts])
    median = np.array([statistics.median(values[i] for i in part) for part in parts])
    centred = at - at.mean()
    found = float(centred @ median / (centred @ centred))
    rest = median - median.mean() - found * centred
    error = float(np.sqrt(rest @ rest / (PARTS - 2) / (centred @ centred)))
    return found, error


def judged(samples: Samples, warm_s: float, end_s: float, bounds: tuple[float, float]) -> list[Any]:
    """What is found of every process that was there for the whole time."""
    alpha, least = bounds
    whole = {
        name: [entry for entry in entries if entry[0] >= warm_s]
        for name, entries in samples.items()
        if entries[0][0] <= warm_s and entries[-1][0] >= 0.95 * end_s
    }
    whole = {name: entries for name, entries in whole.items() if len(entries) >= 2 * PARTS}
    limit = student.isf(alpha / max(1, len(whole) * len(FIGURES)), PARTS - 2)
    found = []
    for name, entries in whole.items():
        for figure in FIGURES:
            times, values = [at for at, _ in entries], [each[figure] for _, each in entries]
            rate, error = slope(times, values)
            middle = statistics.median(values)
            found.append({
                "process": name, "figure": figure, "median": round(middle, 2),
                "per_hour": round(rate * 3600, 4), "error_per_hour": round(error * 3600, 4),
                "grows": bool(rate > limit * error and rate * DAY_S > least * middle),
            })  # fmt: skip
    return found
