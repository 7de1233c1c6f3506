"""A round's cohort trained at once, in place of one message to each client.

What clients compute is what their app computes: the same records, draws, ledgers, clip and noise,
added up in the same order. By default a seeded run is, bit for bit, what it is over messages
(`simulations.threads`); one with the operating system's randomness, which nobody can repeat, may
stack its clients (`simulations.stacked`). A run that needs single messages gets them: secure
aggregation, correlated noise, an adaptive clip, clients that keep something between rounds.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from client.in_process import InProcess
from client.session import Session
from client.site import demonstration_name
from server.cohort_sum import CohortSum
from shared.config import RunConfig
from shared.device import choose_device
from shared.dp.clipping import Vector
from shared.dp.mechanisms import ClientPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.messages import TrainInstruction
from shared.spans import span
from shared.task import Task
from simulations.faults import Fault, Faults
from simulations.measured import TRIED, fastest
from simulations.reading import Client, Reader
from simulations.stacked import Stacked, can_be_stacked
from simulations.stacked_records import StackedRecords, can_be_stacked_by_record
from simulations.threads import Threads

_LOGGER = logging.getLogger("murmura.engine")
_PREFIX = len(demonstration_name(0)) - 6
_WHY = {
    Fault.RAISES: "simulated crash",
    Fault.UNAVAILABLE: "simulated dropout",
    Fault.SILENT: "no answer in time",
}


class Method(Protocol):
    """A way to train many clients."""

    def add(
        self, total: Vector, instruction: TrainInstruction, clients: Iterable[Client]
    ) -> Mapping[str, str]:
        """Add the clipped update of each to `total`, shape (d,); returns who failed, and why."""


class CohortEngine:
    """Trains cohorts of one run.

    Args:
        config: The run's configuration.
        computing: Reads the records.
        session: Keeps the ledgers; that of the clients' app, so that both see the same.
        faults: Who fails to answer, and how; None: nobody.
        ledgers: Folder of the virtual ledgers.
        run_id: Flower's number of the run.
    """

    def __init__(
        self,
        config: RunConfig,
        computing: InProcess,
        session: Session,
        *,
        faults: Faults | None,
        ledgers: Path,
        run_id: str,
    ) -> None:
        self._config = config
        self._computing = computing
        self._session = session
        self._faults = faults
        self._ledgers = ledgers
        self._run_id = run_id
        self._plan = PrivacyPlan.from_config(config)
        self._begun: tuple[Method, Reader] | None = None

    def sum_of(self, instruction: TrainInstruction, cohort: Sequence[str]) -> CohortSum | None:
        """As `CohortSums.cohort_sum`."""
        if not self._fit:
            return None
        lost = self._failing(instruction, cohort)
        asked = [name for name in cohort if name not in lost]
        indices = [int(name[_PREFIX:]) for name in asked]
        with span("ledger"):
            allowed = self._session.charge_each(indices, instruction, self._ledgers, self._run_id)
        refused = "BudgetExhausted: the site's privacy budget does not allow this release"
        lost |= {name: refused for name, fits in zip(asked, allowed, strict=True) if not fits}
        taking = [index for index, fits in zip(indices, allowed, strict=True) if fits]
        total: Vector = np.zeros(len(instruction.parameters))
        method, reader = self._begun or self._begin(taking, instruction)
        failed = method.add(total, instruction, reader.clients(taking, instruction))
        return CohortSum(total, len(taking) - len(failed), lost | dict(failed))

    def _begin(self, taking: Sequence[int], instruction: TrainInstruction) -> tuple[Method, Reader]:
        """Choose a way, once for the run; a cohort that is empty chooses none for the next."""
        task, _ = self._computing.trainer()
        reader = Reader(self._config, self._computing, task)
        measured = self._config.runtime.engine == "measured"
        method = self._threads(task) if measured else self._chosen(task)
        ways = {"threads": method} | (self._stacks(task) if measured and taking else {})
        if len(ways) > 1:
            tried = taking[:TRIED]
            name, seconds = fastest(ways, lambda: reader.clients(tried, instruction), instruction)
            told = ", ".join(f"{way} {seconds[way]:.4f} s" for way in ways)
            _LOGGER.info("clients are trained by %s; %d clients took %s", name, len(tried), told)
            method = ways[name]
        if taking or not measured:
            self._begun = method, reader
        return method, reader

    def _stacks(self, task: Task) -> dict[str, Method]:
        """Every stack that the model and its unit allow, for better or worse."""
        config, mechanism = self._config, self._plan.mechanism
        if config.runtime.several:
            return {}
        if can_be_stacked(task, mechanism, everywhere=True):
            return {"stacked": Stacked(config, task, mechanism)}
        if can_be_stacked_by_record(mechanism, task):
            return {"stacked": StackedRecords(config, task, mechanism)}
        return {}

    @property
    def _fit(self) -> bool:
        mechanism, engine = self._plan.mechanism, self._config.runtime.engine
        if (
            engine == "messages"
            or self._plan.aggregation is not None
            or self._plan.update is not None
        ):
            return False
        if isinstance(mechanism, RecordPrivacy):
            return not mechanism.distributed
        if isinstance(mechanism, ClientPrivacy):
            return not (mechanism.distributed or mechanism.adaptive)
        return isinstance(mechanism, NoPrivacy)

    def _failing(self, instruction: TrainInstruction, cohort: Sequence[str]) -> dict[str, str]:
        if self._faults is None:
            return {}
        group = str(instruction.round_number)
        found = {name: self._faults.fault(int(name[_PREFIX:]), "train", group) for name in cohort}
        return {name: _WHY[fault] for name, fault in found.items() if fault is not None}

    def _chosen(self, task: Task) -> Method:
        config, mechanism = self._config, self._plan.mechanism
        runtime = config.runtime
        on_gpu = choose_device(runtime.device, runtime.gpu_memory_fraction).type != "cpu"
        asked = runtime.engine == "stacked"
        # Guarantee: a seeded run gives the same bytes as over messages and as deployed.
        stacks = asked or (runtime.engine == "auto" and not (config.seeded or runtime.several))
        if stacks and can_be_stacked(task, mechanism, everywhere=asked or on_gpu):
            return Stacked(config, task, mechanism)
        by_record = stacks and (asked or on_gpu)
        if by_record and can_be_stacked_by_record(mechanism, task):
            return StackedRecords(config, task, mechanism)
        if asked:
            _LOGGER.info("clients are trained one by one: the model has layers that do not stack")
        return self._threads(task)

    def _threads(self, task: Task) -> Threads:
        runtime = self._config.runtime
        device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        # A GPU, or several devices, are busy with one client.
        alone = device.type != "cpu" or runtime.several
        count = 1 if alone else max(1, (os.cpu_count() or 1) // runtime.torch_threads)
        return Threads(self._computing, task, self._plan.mechanism, count=count)
