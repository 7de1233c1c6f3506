"""One round of secure aggregation twice: by Flower's SecAgg+, and by ours; all in this process.

Both sum the same vectors; nobody trains. A lost client does all its work up to its upload, which
never arrives. What each part costs is taken down as it runs (`benchmarks/
secure_aggregation_peers.py` says how the two compare).
"""

import math
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client import Client, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.compat.common import recorddict_compat as compat
from flwr.server import LegacyContext, ServerConfig
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from numpy.typing import NDArray

from client.masking import Masked
from server.unmasking import Collecting, Unmasking
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import KEY_BYTES, RandomStream
from shared.errors import FederationError
from shared.secagg.encoding import Encoding, update_encoding
from shared.secagg.exchange import MaskedUpdate, RoundContext
from shared.secagg.packing import (
    answer_from_bytes,
    answer_to_bytes,
    keys_to_bytes,
    request_from_bytes,
    request_to_bytes,
    upload_from_bytes,
    upload_to_bytes,
)
from shared.secagg.parameters import AggregationParameters, parameters_for
from simulations.grid import InProcessGrid
from tests.aggregation_rounds import Clients, clients

CORRUPT, DROPPED = 0.1, 0.1
EXAMPLES = 1000  # Flower's default of max_weight: a vector has all the levels there are
STEP = 2 * 8.0 / 2**22  # Flower's defaults: the range over the levels
Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Round:
    """Whose vectors, whose uploads are lost, and what the protocols are asked for.

    Attributes:
        vectors: By client, each of shape (d,).
        lost: Positions of lost clients.
        bits: Of our ring; 0: as many as a run takes.
        shares: Of Flower's secrets; 0: one for each of our neighbours and for oneself.
        threshold: To rebuild one; 0: more than half of the shares.
    """

    vectors: list[Vector]
    lost: frozenset[int]
    bits: int = 32
    shares: int = 0
    threshold: int = 0

    @classmethod
    def of(cls, count: int, dimension: int, lost: int, **options: int) -> "Round":
        """Standard normal vectors; the same for the same figures."""
        generator = np.random.default_rng(0)
        vectors = [generator.standard_normal(dimension, dtype=np.float32) for _ in range(count)]
        chosen = generator.choice(count, lost, replace=False).tolist()
        return cls(vectors=vectors, lost=frozenset(chosen), **options)

    @property
    def fractions(self) -> tuple[float, float]:
        """Of clients that may be corrupt, and lost."""
        return CORRUPT, max(DROPPED, len(self.lost) / len(self.vectors))

    @property
    def parameters(self) -> AggregationParameters:
        """Of our protocol."""
        return parameters_for(len(self.vectors), len(self.vectors), *self.fractions)

    @property
    def mean(self) -> NDArray[np.float64]:
        """What should come out."""
        total = np.zeros(len(self.vectors[0]))
        for position, vector in enumerate(self.vectors):
            if position not in self.lost:
                total += vector
        return total / (len(self.vectors) - len(self.lost))


@dataclass(frozen=True)
class Cost:
    """CPU seconds by part of the round, and bytes that each client sent."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    sent: Counter[int] = field(default_factory=Counter)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what the block costs, but for parts within it."""
        start, within = time.process_time(), math.fsum(self.seconds.values())
        yield
        within = math.fsum(self.seconds.values()) - within
        self.seconds[name] += time.process_time() - start - within

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work` as a part of that name."""

        def part(*given: Any) -> Any:
            with self.part(name):
                return work(*given)

        return part


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round came to.

    Attributes:
        mean: Of the vectors that arrived, shape (d,).
        tolerance: Most that rounding can move a number of it.
        parameters: Of the protocol.
    """

    mean: NDArray[np.float64]
    tolerance: float
    parameters: Mapping[str, int]


@dataclass
class Site(NumPyClient):
    """Has a vector, and trains nothing."""

    vector: Vector

    def fit(self, parameters: Any, config: Any) -> tuple[list[Vector], int, dict[str, Any]]:
        """The vector."""
        del parameters, config
        return [self.vector], EXAMPLES, {}


def flower(task: Round, cost: Cost) -> Outcome:
    """Flower's SecAggPlusWorkflow with its secaggplus_mod, over our in-process grid."""
    count, dimension = len(task.vectors), len(task.vectors[0])
    shares = task.shares or task.parameters.degree + 1
    threshold = task.threshold or shares // 2 + 1
    grid = InProcessGrid(_flower_clients(task, cost), count, {})
    strategy = FedAvg(fraction_fit=1.0, min_fit_clients=count, min_available_clients=count)
    context = LegacyContext(
        Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={}),
        config=ServerConfig(num_rounds=1),
        strategy=strategy,
    )
    for node in grid.get_node_ids():
        context.client_manager.register(GridClientProxy(node, grid, 1))
    start = ndarrays_to_parameters([np.zeros(dimension, dtype=np.float32)])
    context.state[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(start, keep_input=True)
    context.state[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    workflow = SecAggPlusWorkflow(num_shares=shares, reconstruction_threshold=threshold)
    quantize, dequantize = (
        patch.object(module, name, cost.timed(part, getattr(module, name)))
        for module, name, part in (
            (import_module(secaggplus_mod.__module__), "quantize", "clients, encode"),
            (import_module(SecAggPlusWorkflow.__module__), "dequantize", "server, decode"),
        )
    )
    with quantize, dequantize, cost.part("server"):
        workflow(grid, context)
    found = context.state.array_records[MAIN_PARAMS_RECORD]
    mean = parameters_to_ndarrays(compat.arrayrecord_to_parameters(found, keep_input=True))[0]
    parameters = {"shares": shares, "threshold": threshold}
    return Outcome(mean=mean, tolerance=2 * STEP, parameters=parameters)


def _flower_clients(task: Round, cost: Cost) -> Callable[[Message, Context], Message]:
    def position_of(context: Context) -> int:
        return int(context.node_config["partition-id"])

    def site(context: Context) -> Client:
        return Site(task.vectors[position_of(context)]).to_client()

    app = ClientApp(client_fn=site, mods=[secaggplus_mod])

    def client(message: Message, context: Context) -> Message:
        stage = str(message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE])
        position = position_of(context)
        with cost.part(f"clients, {stage}"):
            reply = app(message, context)
        if stage == Stage.COLLECT_MASKED_VECTORS and position in task.lost:
            raise FederationError("the upload is lost")
        cost.sent[position] += sum(record.count_bytes() for record in reply.content.values())
        return reply

    return client


def murmura(task: Round, cost: Cost) -> Outcome:
    """Ours: the setup of a run and its first round, every message of the round as bytes."""
    with cost.part("setup"):
        group = clients(len(task.vectors), fractions=task.fractions)
        encoding = _encoding(task)
        context = group.context(bits=encoding.bits)
    stages, uploads = _uploaded(task, cost, group, context, encoding)
    with cost.part("server, collect"):
        collecting = Collecting.of(context, encoding.length, group.enrolled, task.parameters)
        for upload in uploads:
            collecting.add(upload)
        server = collecting.close()
    _answer(cost, group, stages, server)
    with cost.part("server, unmask"):
        total = server.finish()
    with cost.part("server, decode"):
        mean = encoding.decode(total, context.digest) / len(stages)
    used = task.parameters
    return Outcome(
        mean=mean,
        # Twelve deviations of a mean of roundings, each of a variance of a quarter at most.
        tolerance=6.0 / (encoding.scale * math.sqrt(len(stages))),
        parameters={
            "degree": used.degree,
            "committee": used.committee_size,
            "threshold": used.threshold,
            "bits": encoding.bits,
        },
    )


def _encoding(task: Round) -> Encoding:
    count, dimension = len(task.vectors), len(task.vectors[0])
    corrupt, dropped = task.fractions
    config = RunConfig.from_run_config({
        "privacy.unit": "none", "secure_aggregation": "on", "population.size": count,
        "aggregation.bits": task.bits, "aggregation.update_bound": 1.5 * math.sqrt(dimension),
        "aggregation.corrupt_fraction": corrupt, "aggregation.dropped_fraction": dropped,
        "audit.canaries": 0,
    })  # fmt: skip
    return update_encoding(PrivacyPlan.from_config(config), dimension, count)


def _uploaded(
    task: Round, cost: Cost, group: Clients, context: RoundContext, encoding: Encoding
) -> tuple[dict[str, Masked], list[MaskedUpdate]]:
    """Those whose upload arrives, after it, and what arrived."""
    stages, uploads = dict[str, Masked](), list[MaskedUpdate]()
    for position, (name, vector) in enumerate(zip(group.names, task.vectors, strict=True)):
        with cost.part("clients, encode"):
            rounding, noise = (RandomStream(secrets.token_bytes(KEY_BYTES)) for _ in range(2))
            whole = encoding.encode(vector.astype(np.float64), context.digest, rounding, noise)
        with cost.part("clients, mask"):
            stage = group.ready[name].mask(context, whole)
            upload = stage.upload
        sealed = stage.graph.sealed
        with cost.part("clients, pack"):
            sent = upload_to_bytes(upload, sealed)
        cost.sent[position] += len(keys_to_bytes(group.keys[:1])) + len(sent)
        if position not in task.lost:
            with cost.part("server, read"):
                read = upload_from_bytes(sent, sealed)
            stages[name] = stage
            uploads.append(read)
    return stages, uploads


def _answer(cost: Cost, group: Clients, stages: Mapping[str, Masked], server: Unmasking) -> None:
    """As many of the committee answer as the server needs."""
    for member in server.collected.graph.committee:
        if member not in stages or server.complete:
            continue
        with cost.part("server, unmask"):
            asked = request_to_bytes(server.request(member))
        with cost.part("clients, unmask"):
            said = answer_to_bytes(stages[member].unmask(request_from_bytes(asked))[1])
        with cost.part("server, unmask"):
            server.add(answer_from_bytes(said))
        cost.sent[group.names.index(member)] += len(said)
