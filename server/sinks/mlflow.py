"""MLflow, into a SQLite file on this machine (extra `mlflow`); nothing is sent anywhere.

Its file store is no longer kept up by its makers, and a tracking server would be another party.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from server.sinks.figures import Figures
from shared.errors import ConfigurationError, StateError
from shared.extras import extra

_RUN_TAG = "murmura.run"
_NAME = re.compile(r"[^\w\-. :/]", re.ASCII)
_LONGEST = 500
_PRIVATE = 0o600


class MlflowSink:
    """A run of MLflow's. A resume makes a new one, with the rounds before, and hides the old.

    Args:
        path: The SQLite file; made if need be.
        experiment: Its name: the task's.
        folder: The run's; its name is the run's in MLflow too.
        about: What is kept beside the figures.
        before: Rounds that are kept from before a resume.
        resumed: Whether the run was begun before.

    Raises:
        ConfigurationError: MLflow is not installed.
        StateError: the file cannot be used.
    """

    name = "MLflow"

    def __init__(
        self,
        path: Path,
        experiment: str,
        folder: Path,
        about: Mapping[str, str],
        before: Sequence[tuple[int, Figures]],
        *,
        resumed: bool,
    ) -> None:
        # Guarantee: before it is imported, which is when it begins to tell of its use.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        try:
            from mlflow import MlflowClient  # noqa: PLC0415 - an optional extra
            from mlflow.exceptions import MlflowException  # noqa: PLC0415 - likewise
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"output.mlflow needs {extra('mlflow')}; got no mlflow"
            ) from error
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - MLflow's and Flower's

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of its tables
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Secrecy: who may read the run folder may read it; the owner alone.
            path.touch(_PRIVATE)
            self._client: Any = MlflowClient(tracking_uri=f"sqlite:///{path.absolute()}")
            self._run = self._begin(experiment, folder, about, resumed=resumed)
            for number, figures in before:
                self.write(number, figures)
        except (OSError, MlflowException, SQLAlchemyError) as error:
            said = " ".join(str(error).split())[:_LONGEST]
            raise StateError(f"{path} cannot be MLflow's store: {said}") from error

    def _begin(
        self, experiment: str, folder: Path, about: Mapping[str, str], *, resumed: bool
    ) -> str:
        from mlflow.entities import Param  # noqa: PLC0415 - an optional extra

        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        key = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()
        if resumed:
            for old in self._client.search_runs([place], f"tags.`{_RUN_TAG}` = '{key}'"):
                self._client.delete_run(old.info.run_id)  # MLflow can take that back
        run = self._client.create_run(place, run_name=folder.name, tags={_RUN_TAG: key})
        params = [Param(key, value[:_LONGEST]) for key, value in about.items()]
        self._client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def write(self, round_number: int, figures: Figures) -> None:
        """One batch a round.

        Raises:
            StateError: two metrics have one name as MLflow can write it.
        """
        from mlflow.entities import Metric  # noqa: PLC0415 - an optional extra

        names = [mlflow_name(name) for name in figures]
        if len(set(names)) != len(names):
            raise StateError("two metrics of the task have one name in MLflow's signs")
        now = int(time.time() * 1000)
        values = zip(names, figures.values(), strict=True)
        metrics = [Metric(name, value, now, round_number) for name, value in values]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """The run is over."""
        self._client.set_terminated(self._run)


def mlflow_name(name: str) -> str:
    """A name that MLflow takes.

    >>> mlflow_name("metrics/precision@10 (macro)")
    'metrics/precision_10 _macro_'
    """
    return _NAME.sub("_", name)
