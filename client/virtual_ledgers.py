"""The ledgers of a simulation's many virtual clients: the same arithmetic, one object, one file.

No real record is behind them, so nothing is signed, and the file is fsync'd once a round. A line
that a killed process left unfinished was granted to nobody, and is dropped.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.ledger import Release
from shared.dp.events import event_from_json, event_to_json
from shared.dp.mechanisms import Adjacency
from shared.dp.plan import PrivacyPlan
from shared.dp.renyi import (
    RENYI_ORDERS,
    RenyiBudget,
    added,
    added_to_many,
    renyi_cost,
    renyi_epsilon,
)
from shared.errors import BudgetExhausted, PrivacyError, StateError

Indices = Sequence[int] | NDArray[np.int64]


class VirtualLedgers:
    """One budget for each of `population` clients.

    Args:
        folder: Holds virtual.jsonl, which is read again by a resumed run.
        population: Number of clients.
        budget: Of each client.
    """

    def __init__(self, folder: Path, population: int, budget: RenyiBudget) -> None:
        self._path, self._budget = folder / "virtual.jsonl", budget
        self._population = population
        self._current: dict[str, Any] | None = None
        self._size = -1
        self._spent = np.zeros((population, len(RENYI_ORDERS)), np.int64)
        self._reserved: dict[tuple[Any, ...], NDArray[np.bool_]] = {}
        self._plans: dict[tuple[str, str], str] = {}

    def reserve(
        self, indices: int | Indices, release: Release, *, repeatable: bool = False
    ) -> None:
        """Charge each of the clients `indices`, or none of them.

        Raises:
            BudgetExhausted: it does not fit the budget of one of them.
            PrivacyError: an event that cannot be accounted, another plan of the same run, a client
                named twice, or one that was asked before and not `repeatable`.
            StateError: the file cannot be read or written.
        """
        cost = renyi_cost(release.event, release.adjacency, unit=release.unit)
        self._reload_if_changed()
        chosen = np.atleast_1d(np.asarray(indices, np.int64))
        seen = self._asked(release)[chosen]
        if len(np.unique(chosen)) < len(chosen) or (seen.any() and not repeatable):
            raise PrivacyError("expected clients that were not asked before, got a repeated one")
        fresh = chosen[~seen]
        if not self._budget.admits_many(self._spent[fresh], cost).all():
            raise BudgetExhausted("the site's budget does not admit this release")
        if len(fresh):
            self._write(release, fresh.tolist())
            self._charge(release, fresh)

    def spent(self) -> NDArray[np.float64]:
        """Epsilon of each client at the budget's delta, rounded up; shape (clients,)."""
        self._reload_if_changed()
        rows, inverse = np.unique(self._spent, axis=0, return_inverse=True)
        epsilons = [renyi_epsilon(row.tolist(), self._budget.delta) for row in rows]
        return np.array(epsilons)[inverse.reshape(-1)]

    def _asked(self, release: Release) -> NDArray[np.bool_]:
        run = release.server, release.run_id
        if self._plans.setdefault(run, release.plan_digest) != release.plan_digest:
            raise PrivacyError("expected a run to keep its plan, got another")
        return self._reserved.setdefault(release.key, np.zeros(self._population, np.bool_))

    def _charge(self, release: Release, fresh: NDArray[np.int64]) -> None:
        cost = renyi_cost(release.event, release.adjacency, unit=release.unit)
        self._spent[fresh] = added_to_many(self._spent[fresh], cost)
        self._asked(release)[fresh] = True

    def _write(self, release: Release, clients: list[int]) -> None:
        asked = _to_json(release)
        lines: list[dict[str, Any]] = [{"clients": clients}]
        if asked != self._current:
            lines.insert(0, {"release": asked})
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                if os.write(handle, text) != len(text):
                    raise OSError("short write")
                if len(lines) == 2:
                    os.fsync(handle)
                self._size = os.fstat(handle).st_size
            finally:
                os.close(handle)
        except OSError as error:
            self._size = -1
            raise StateError(f"{self._path} cannot be written: {error}") from error
        self._current = asked

    def _reload_if_changed(self) -> None:
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            if size == self._size:
                return
            content = self._path.read_bytes() if size else b""
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(self._path, whole)
        except OSError as error:
            raise StateError(f"{self._path} cannot be read: {error}") from error
        self._spent[:] = 0
        self._reserved, self._plans, self._current = {}, {}, None
        self._size = whole
        release: Release | None = None
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                release = self._replay(json.loads(line), release)
            except (ValueError, KeyError, TypeError, IndexError, PrivacyError) as error:
                self._size = -1
                raise StateError(f"line {number} of {self._path} is damaged: {error!r}") from error

    def _replay(self, content: dict[str, Any], release: Release | None) -> Release:
        if "release" in content:
            self._current = content["release"]
            return _from_json(content["release"])
        if release is None:
            raise ValueError("clients before a release")
        self._charge(release, np.array(content["clients"], np.int64))
        return release


def granted(plan: PrivacyPlan) -> RenyiBudget:
    """What each virtual client of a run of `plan` is granted.

    The plan's own budget; but a run that the server admits by the tighter bound of privacy loss
    distributions must not be refused midway by the Rényi bound (about 8 % larger), nor at client
    level by the site's price without amplification: at least what the plan's rounds cost here.
    """
    mechanism = plan.mechanism
    adjacency = Adjacency(mechanism.adjacency)
    cost = renyi_cost(mechanism.round_event(), adjacency, unit=mechanism.unit)
    planned = added(tuple(plan.rounds * units for units in cost), (0,) * len(cost))
    # The conversion to epsilon and the limits round in opposite directions, by less than this.
    rounding = 1e-4
    needed = renyi_epsilon(planned, plan.delta) + rounding
    return RenyiBudget(max(plan.epsilon_budget, needed), plan.delta)


def _to_json(release: Release) -> dict[str, Any]:
    names = ("server", "run_id", "kind", "round_number", "attempt", "plan_digest")
    texts: dict[str, Any] = {name: getattr(release, name) for name in (*names, "unit")}
    event = json.loads(json.dumps(event_to_json(release.event)))
    return texts | {"adjacency": str(release.adjacency), "event": event}


def _from_json(content: dict[str, Any]) -> Release:
    return Release(**content | {"event": event_from_json(content["event"])})
