"""Tells the audit log of the runs of a server: their plan, their beginning, their end.

A run whose process has died is ended here, long before Flower misses it.

What was told is kept in the home, so that a server that starts anew tells the rest alone, also of
a run that ended while nothing served.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, Protocol

from server.home import ServerHome
from server.recorder import Recorder
from server.run_life import RunLife, folder_in
from shared.config import RunConfig, Scalar
from shared.durable import read_json, write_json
from shared.errors import FederationError, StateError

_LOGGER = logging.getLogger("murmura.server")
_TOLD = "runs-told.json"
_PENDING, _RUNNING, _FINISHED = "pending", "running", "finished"
_STARTED, _ENDED = "started", "ended"


class Runs(Protocol):
    """What is asked of the SuperLink."""

    def runs(self) -> list[dict[str, str]]:
        """Number and status of every run."""

    def order_of(self, run_id: str) -> tuple[str, Mapping[str, Scalar]]:
        """Hash of a run's bundle, and its settings."""

    def fail(self, run_id: str, why: str) -> None:
        """End a run."""


class RunWatch:
    """The runs of one server, as they come and go.

    Args:
        home: Where it is kept what was told.
        runs: The SuperLink.
        record: The audit log.
    """

    def __init__(self, home: ServerHome, runs: Runs, record: Recorder) -> None:
        self._path = home.state / _TOLD
        self._runs, self._record = runs, record
        self._told: dict[str, Any] = read_json(self._path)
        self._lives: dict[str, RunLife | None] = {}

    def look(self) -> None:
        """Tell what is new. Raises StateError if the log cannot be written."""
        before = dict(self._told)
        for run in self._runs.runs():
            name, (status, _, sub_status) = run["run_id"], run["status"].partition(":")
            if status != _PENDING and name not in self._told:
                self._tell_start(name)
                self._told[name] = _STARTED
            if status == _FINISHED and self._told[name] != _ENDED:
                self._record("run_ended", run=name, outcome=_code(sub_status))
                self._told[name] = _ENDED
            if status == _RUNNING:
                self._end_if_dead(name)
            else:
                self._lives.pop(name, None)
        if self._told != before:
            write_json(self._path, self._told)

    def _end_if_dead(self, name: str) -> None:
        if name not in self._lives:
            folder = folder_in(self._runs.order_of(name)[1])
            self._lives[name] = None if folder is None else RunLife(folder, name)
        life = self._lives[name]
        try:
            if life is None or not life.has_died():
                return
        except StateError as error:
            _LOGGER.warning("it is not known whether run %s lives: %s", name, error)
            self._lives[name] = None
            return
        _LOGGER.error("the process of run %s has died", name)
        self._runs.fail(name, "the process of the run died; the run can be resumed")

    def _tell_start(self, name: str) -> None:
        from shared.dp.plan import PrivacyPlan  # noqa: PLC0415 - slow, and a run alone needs it

        bundle, settings = self._runs.order_of(name)
        try:
            plan = PrivacyPlan.from_config(RunConfig.from_run_config(dict(settings)))
        except FederationError as error:
            # An app of another kind has no plan; its ServerApp, and every site, refuse the rest.
            _LOGGER.info("run %s has no plan of ours: %s", name, error)
        else:
            self._record("plan", run=name, plan=plan.digest(), rounds=plan.rounds, bundle=bundle)
        self._record("run_started", run=name, bundle=bundle)


def _code(sub_status: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", sub_status.lower())[:40].strip("_0123456789") or "unknown"
