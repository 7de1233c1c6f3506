"""Runs side by side; epsilons are on one axis only where they mean the same.

An epsilon is of a unit, a neighbouring relation, an observer and a delta. Two that differ in any of
these are two quantities: the runs are compared against an observer that all of them promise
something to, or else each kind has an axis of its own.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from murmura.course import Course, Points
from server.report.facts import OBSERVERS, words
from shared.errors import ConfigurationError, StateError

MOST_RUNS = 12
_PREFERRED = ("accuracy", "private_accuracy")


@dataclass(frozen=True, slots=True)
class Basis:
    """What an epsilon is of."""

    unit: str
    adjacency: str
    observer: str
    delta: float

    def __str__(self) -> str:
        """In words."""
        against = OBSERVERS.get(self.observer, words(self.observer))
        return f"one {self.unit}, {words(self.adjacency)}, δ = {self.delta:g}, against {against}"


@dataclass(frozen=True, slots=True)
class Compared:
    """A run, by the name under which it is compared.

    Attributes:
        name: Unique among those compared.
        course: How it went.
        spent: For each basis that it promises something on, epsilon by round.
    """

    name: str
    course: Course
    spent: Mapping[Basis, Mapping[float, float]]

    def final(self, basis: Basis) -> float:
        """The most that it spent on `basis`."""
        return max(self.spent[basis].values(), default=0.0)

    def price(self, basis: Basis, metric: str) -> Points:
        """What had been reached when so much was spent."""
        spent = self.spent[basis]
        return [(spent[n], value) for n, value in self.course.measured(metric) if n in spent]

    @property
    def unbegun(self) -> bool:
        """Whether it ended before it said what it promises, as where sites refuse it."""
        return not self.spent and self.course.started is None and not self.course.rounds

    @property
    def budget(self) -> float | None:
        """The run's, where it has one and promises something."""
        rounds = self.course.rounds
        return rounds[-1].epsilon_budget if rounds and self.spent else None


@dataclass(frozen=True, slots=True)
class EpsilonAxis:
    """Runs whose epsilons may be compared."""

    basis: Basis
    runs: Sequence[Compared]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a table or a page says.

    Attributes:
        runs: In the order they were given.
        axes: One, where all private runs have a basis in common.
        metric: Of utility; "loss" where nothing else is measured in all.
        notes: What a reader must know before comparing.
    """

    runs: Sequence[Compared]
    axes: Sequence[EpsilonAxis]
    metric: str
    notes: Sequence[str] = field(default_factory=tuple)

    def axis_of(self, run: Compared) -> EpsilonAxis | None:
        """On which `run` is; None where it promises nothing."""
        return next((axis for axis in self.axes if run in axis.runs), None)


def compare(folders: Sequence[Path], *, metric: str = "", against: str = "") -> Comparison:
    """Read and compare the runs in `folders`.

    Args:
        folders: One to twelve, each once.
        metric: Of utility; "": accuracy, or what all runs measured.
        against: The observer; "": the one who learns most of those whom all runs have in common.

    Raises:
        ConfigurationError: too many runs, one twice, or a metric or an observer that is not there.
        StateError: one of them cannot be read.
    """
    if len({folder.resolve() for folder in folders}) != len(folders):
        raise ConfigurationError("expected each run once, got one of them twice")
    if len(folders) > MOST_RUNS:
        raise ConfigurationError(
            f"at most {MOST_RUNS} runs can be told apart, got {len(folders)}; compare fewer"
        )
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) != len(names):
        names = [str(folder) for folder in folders]
    runs = [_read(name, folder) for name, folder in zip(names, folders, strict=True)]
    axes = _axes(runs, against)
    return Comparison(runs, axes, _metric(runs, metric), _notes(runs, axes))


def _read(name: str, folder: Path) -> Compared:
    course = Course(folder).look()
    report = folder / "report.json"
    try:
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        spent = _planned(course) if found is None else _reported(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"expected a report in {report}, got one of another form") from error
    return Compared(name, course, spent)


def _reported(report: Mapping[str, Any]) -> dict[Basis, dict[float, float]]:
    """Of each observer, as the report has it."""
    found = {}
    for claim in report["claims"]:
        if claim["epsilon"] == "inf":
            continue
        basis = Basis(
            str(claim["unit"]), str(claim["adjacency"]), str(claim["adversary"]),
            float(claim["delta"]),
        )  # fmt: skip
        course = {float(n): float(epsilon) for n, epsilon in claim["epsilon_by_round"]}
        found[basis] = {n: epsilon for n, epsilon in course.items() if math.isfinite(epsilon)}
    return found


def _planned(course: Course) -> dict[Basis, dict[float, float]]:
    """Of a run that has no report yet: what it tells of the worst observer."""
    claim = course.claim
    if claim is None:
        return {}
    basis = Basis(claim.unit, claim.adjacency, claim.adversary, claim.delta)
    return {basis: dict(course.by_round("epsilon"))}


def _axes(runs: Sequence[Compared], against: str) -> list[EpsilonAxis]:
    private = [run for run in runs if run.spent]
    if not private:
        return []
    for run in private if against else ():
        known = sorted(basis.observer for basis in run.spent)
        if against not in known:
            raise ConfigurationError(
                f"{run.name} promises nothing to an observer {against!r}; it does to: "
                + ", ".join(known)
            )
    alike = set.intersection(*[{b for b in run.spent if against in ("", b.observer)}
                               for run in private])  # fmt: skip
    if alike:
        # Guarantee: of those that all have, whoever learns most; a weaker observer looks better.
        listed = [basis for basis in private[0].spent if basis in alike]
        basis = max(listed, key=lambda b: max(run.final(b) for run in private))
        return [EpsilonAxis(basis, private)]
    groups: dict[Basis, list[Compared]] = {}
    for run in private:
        chosen = [b for b in run.spent if b.observer == against]
        basis = chosen[0] if chosen else max(run.spent, key=run.final)
        groups.setdefault(basis, []).append(run)
    return [EpsilonAxis(basis, members) for basis, members in groups.items()]


def _metric(runs: Sequence[Compared], wanted: str) -> str:
    """What is drawn as utility."""
    measured = [
        {name for name in (*_PREFERRED, "loss", *run.course.metrics()) if run.course.measured(name)}
        for run in runs
    ]
    if wanted:
        if not any(wanted in names for names in measured):
            every = sorted(set().union(*measured))
            raise ConfigurationError(
                f"no run measured {wanted!r}; measured: {', '.join(every) or 'nothing'}"
            )
        return wanted
    common = set.intersection(*measured)
    others = [name for name in runs[0].course.metrics() if name in common]
    for name in (*_PREFERRED, *others):
        if name in common:
            return name
    return next((name for name in _PREFERRED if any(name in names for names in measured)), "loss")


def _notes(runs: Sequence[Compared], axes: Sequence[EpsilonAxis]) -> list[str]:
    notes = []
    if len(axes) > 1:
        notes.append(
            "These epsilons are not comparable, since they differ in unit, neighbouring relation, "
            "observer or delta: each kind has an axis of its own."
        )
    for axis in axes:
        named = f" of {', '.join(run.name for run in axis.runs)}" if len(axes) > 1 else ""
        notes.append(f"Epsilon{named} is for {axis.basis}.")
    if without := [r.name for r in runs if not (r.spent or r.unbegun)]:
        notes.append(f"No differential privacy: {', '.join(without)}.")
    tasks = {(s.task, s.model) for run in runs if (s := run.course.started) is not None}
    if len({task for task, _ in tasks}) > 1:
        notes.append("The runs are of different tasks: their scores are of different data.")
    if seeded := [run.name for run in runs if run.course.started and run.course.started.seeded]:
        notes.append(f"Seeded, so that no guarantee holds for real data: {', '.join(seeded)}.")
    if unfinished := [run for run in runs if run.course.status != "finished"]:
        told = ", ".join(f"{run.name} ({run.course.status})" for run in unfinished)
        notes.append(f"Not finished: {told}.")
    return notes
