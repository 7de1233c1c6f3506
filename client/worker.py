"""The persistent process in which a bundle's code computes on a site's records, for its guard.

    python -m client.worker SOCKET LARGEST [BLOCK]     with the unpacked bundle as working folder

It has the data folder and one Unix socket that the guard owns: no network, key or ledger where the
guard could shut it in (client/sandbox.py). Whatever it answers stays at the site; the guard bounds
it, charges for it, adds noise and masks it. What goes wrong here is told to the guard and to the
worker's own log, and to nobody else.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from client.lent_memory import LENGTH, SMALLEST, LentMemory, told
from client.worker_pb2 import Alive, Hello, RowsRequest, TrainRequest
from client.worker_pb2 import Site as WhoseRecords
from client.worker_wire import METHODS, SERVICE, Carried, limits, numbers, parser
from shared.errors import ConfigurationError
from shared.loading import loading

with loading():
    from client.in_process import InProcess
    from client.site import ThisSite
    from shared.config import RunConfig
    from shared.messages import TrainInstruction
    from shared.partition import partition_spec
    from shared.query_messages import QueryInstruction
    from shared.task import Site
    from shared.vectors import FlatVector


def train(request: TrainRequest | Carried, context: grpc.ServicerContext) -> Carried:
    """An update that is not clipped."""
    del context
    config, computing = _run(request.config)
    instruction = TrainInstruction(
        round_number=request.round_number,
        attempt=request.attempt,
        plan="",
        plan_digest="",
        clipping_norm=0.0,
        parameters=_vector(request.parameters),
        normalisation=_vector(request.normalisation),
    )
    return numbers(
        computing.update(_site(request.site, config), instruction, _vector(request.kept))
    )


def rows(request: RowsRequest | Carried, context: grpc.ServicerContext) -> Carried:
    """Rows that are not bounded."""
    del context
    config, computing = _run(request.config)
    instruction = QueryInstruction(
        kind=request.kind,
        round_number=request.round_number,
        attempt=request.attempt,
        plan="",
        plan_digest="",
        parameters=_vector(request.parameters),
        normalisation=_vector(request.normalisation),
    )
    found = computing.rows(_site(request.site, config), instruction, _vector(request.layers))
    return numbers(found.astype(np.float64, copy=False))


def greet(request: Hello, context: grpc.ServicerContext) -> Alive:
    """That everything is loaded."""
    del request, context
    return Alive(process=os.getpid())


def serve(path: str, largest: int, lent: LentMemory | None = None) -> grpc.Server:
    """Listen on the Unix socket `path`; one computation at a time.

    Args:
        path: Of the socket.
        largest: Bytes of a message.
        lent: What the guard lends for vectors.
    """
    server = grpc.server(ThreadPoolExecutor(1), options=limits(largest))
    answers: dict[str, Callable[..., Any]] = {"Train": train, "Rows": rows, "Greet": greet}
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer if lent is None else partial(_by_lent, lent, answer),
            request_deserializer=parser(METHODS[name][0]),
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, answer in answers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server


def main(arguments: Sequence[str]) -> None:
    """Serve until the guard ends this process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    path, largest, *lent = arguments
    block = LentMemory(int(lent[0])) if lent else None
    serve(path, int(largest), block).wait_for_termination()


def _by_lent(
    lent: LentMemory, answer: Callable[..., Any], request: Any, context: grpc.ServicerContext
) -> Any:
    """What `answer` answers; a large vector of either side lies in the block."""
    length = told(context.invocation_metadata())
    if length:
        request = request.holding(lent.seen(length))
    found = answer(request, context)
    if isinstance(found, Carried) and len(found.content) >= SMALLEST:
        lent.put(found.content, length)
        context.set_trailing_metadata(((LENGTH, str(len(found.content))),))
        found = found.holding(memoryview(b""))
    return found


@lru_cache(maxsize=2)
def _run(config: str) -> tuple[RunConfig, InProcess]:
    known = RunConfig.from_run_config(json.loads(config))
    return known, InProcess(known)


def _site(asked: WhoseRecords, config: RunConfig) -> ThisSite:
    if asked.data_dir:
        whole = Site(index=0, partition=None)
        return ThisSite(client_id=asked.client_id, site=whole, data_dir=Path(asked.data_dir))
    if not 0 <= asked.index < config.population.size:
        raise ConfigurationError(f"expected a part of the population, got {asked.index}")
    part = Site(index=asked.index, partition=partition_spec(config.population))
    return ThisSite(client_id=asked.client_id, site=part, data_dir=None)


def _vector(content: bytes | memoryview) -> FlatVector:
    return np.frombuffer(content, dtype="<f4")


if __name__ == "__main__":
    main(sys.argv[1:])
