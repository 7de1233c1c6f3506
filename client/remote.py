"""`client.computing` in a guard's worker: the records are read there, and the numbers come here."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.memory import NOTHING
from client.site import ThisSite
from client.worker_pb2 import RowsRequest, TrainRequest
from client.worker_pb2 import Site as WhoseRecords
from client.worker_process import Worker, WorkerFailed
from client.worker_wire import Carried, array, contents
from shared.config import RunConfig
from shared.dp.clipping import Vector
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.vectors import FlatVector


class Remote:
    """`client.computing`, by a worker.

    Args:
        config: The run's configuration.
        worker: Of the run's bundle.
        longest_s: Of one computation.
    """

    def __init__(self, config: RunConfig, worker: Worker, longest_s: float) -> None:
        self._config = config
        self._text = json.dumps(config.flat())
        self._worker = worker
        # The server waits no longer than this; a later answer would be for nobody.
        self._longest_s = min(longest_s, config.cohort.timeout_s)

    def update(
        self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector = NOTHING
    ) -> FlatVector | Vector:
        """As `Computing.update`."""
        request = TrainRequest(
            config=self._text,
            site=_whose(site),
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            normalisation=_bytes(instruction.normalisation),
            kept=_bytes(kept),
        )
        return self._asked("Train", Carried(request, contents(instruction.parameters)))

    def rows(
        self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector = NOTHING
    ) -> NDArray[np.float64]:
        """As `Computing.rows`."""
        request = RowsRequest(
            config=self._text,
            site=_whose(site),
            kind=instruction.kind,
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            normalisation=_bytes(instruction.normalisation),
            layers=_bytes(layers),
        )
        whole = Carried(request, contents(instruction.parameters))
        return self._asked("Rows", whole).astype(np.float64, copy=False)

    def _asked(self, method: str, request: Any) -> NDArray[Any]:
        try:
            return array(self._worker.ask(method, request, self._longest_s))
        except ValueError as error:
            raise WorkerFailed(f"{method}: expected whole rows of numbers") from error


def _whose(site: ThisSite) -> WhoseRecords:
    return WhoseRecords(
        client_id=site.client_id,
        data_dir="" if site.data_dir is None else str(site.data_dir),
        index=site.site.index,
    )


def _bytes(vector: FlatVector) -> bytes:
    return vector.astype("<f4", copy=False).tobytes()
