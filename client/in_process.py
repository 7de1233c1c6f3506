"""Computing in this process: a simulation, a stock SuperNode's ClientApp, a guard's worker.

In deployment without a guard each message has a process of its own; in a simulation one process
serves them all.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from client.beginning import initial_layers
from client.memory import NOTHING
from client.queries import evaluation_part, evaluation_rows, statistics_answer, training_part
from client.sessions import session
from client.several_devices import SeveralDevices
from client.site import ThisSite
from client.trainer import LocalTraining
from client.turn import Turn
from shared.config import RunConfig
from shared.device import choose_device, device_names
from shared.dp.clipping import Vector
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import randomness_for
from shared.local_layers import split
from shared.messages import TrainInstruction
from shared.normalisation import Normalisation
from shared.parameters import FlatVector, fill
from shared.query_messages import QueryInstruction
from shared.task import Examples, Task, TaskSettings
from shared.tasks import load_task, task_settings

__all__ = ["InProcess", "session"]

_KEPT = 64  # sites, so that a simulation does not read a file for each client and round


class InProcess:
    """Task, trainer and records of one run; see `client.computing`.

    Args:
        config: The run's configuration.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._plan = PrivacyPlan.from_config(config)
        self._settings = task_settings(config)
        self._randomness = randomness_for(config.seed)
        self._prepared = lru_cache(maxsize=_KEPT)(self._prepare)
        self._examples = lru_cache(maxsize=_KEPT)(self._read)
        self._training_examples = lru_cache(maxsize=_KEPT)(self._read_training)

    def update(
        self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector = NOTHING
    ) -> FlatVector | Vector:
        """As `Computing.update`."""
        _, training = self._prepared(site.settings(self._settings))
        examples = self.training_examples(site, instruction)
        return training.moved(instruction.parameters, examples, self.turn(site, instruction), kept)

    def turn(self, site: ThisSite, instruction: TrainInstruction) -> Turn:
        """What the randomness of an update is labelled with."""
        return Turn(
            randomness=self._randomness,
            client_id=site.client_id,
            round_number=instruction.round_number,
            attempt=instruction.attempt,
        )

    def training_examples(self, site: ThisSite, instruction: TrainInstruction) -> Examples:
        """What `site` trains on, normalised as the instruction says."""
        normalisation = Normalisation.from_vector(instruction.normalisation)
        return self._training_examples(site, normalisation)

    def trainer(self) -> tuple[Task, LocalTraining]:
        """A task, and training of its own beside all others: for a thread of its own."""
        return self._prepare(self._settings)

    def rows(
        self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector = NOTHING
    ) -> NDArray[np.float64]:
        """As `Computing.rows`."""
        examples = self._examples(site)
        if instruction.kind == "statistics":
            return statistics_answer(examples, self._config)
        evaluation = self._config.evaluation
        normalisation = Normalisation.from_vector(instruction.normalisation)
        device = self._device()
        part = evaluation_part(examples, evaluation).to(device)
        part = part if normalisation is None else normalisation.apply(part)
        task, _ = self._prepared(site.settings(self._settings))
        with torch.random.fork_rng(devices=[]):
            model = task.build_model().to(device)
        local_layers = self._config.training.local_layers
        parts = split(model, local_layers)
        fill(parts.shared, instruction.parameters)
        fill(parts.local, layers if len(layers) else initial_layers(task.build_model, local_layers))
        return evaluation_rows(task, model, part, evaluation.loss_bound)

    def _device(self) -> torch.device:
        runtime = self._config.runtime
        return choose_device(runtime.device, runtime.gpu_memory_fraction)

    def _prepare(self, settings: TaskSettings) -> tuple[Task, LocalTraining]:
        config = self._config
        task = load_task(config.task, settings)
        names = device_names(config.runtime.device)
        if len(names) == 1:
            return task, LocalTraining(config, task, self._plan, self._device())
        told = self._plan.mechanism
        clipping = told if isinstance(told, RecordPrivacy) else None
        devices = SeveralDevices(config, clipping, settings.data_dir, names)
        place = torch.device("cpu")
        return task, LocalTraining(config, task, self._plan, place, devices=devices)

    def _read(self, site: ThisSite) -> Examples:
        task, _ = self._prepared(site.settings(self._settings))
        return task.site_data(site.site)

    def _read_training(self, site: ThisSite, normalisation: Normalisation | None) -> Examples:
        examples = training_part(self._examples(site), self._config.evaluation)
        return examples if normalisation is None else normalisation.apply(examples)
