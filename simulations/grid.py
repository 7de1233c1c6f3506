"""An in-process Flower `Grid`: the ordinary ClientApp for many clients, no Ray, no sockets.

A message is kept until it is pulled, and its client runs then: the server adds up each update
before the next client starts, so memory does not grow with the cohort. What the real transport
isolates is isolated here: every client receives its own copy of the message and keeps a Context
of its own between messages. What it would serialise anyway (arrays, as bytes) stays as it is.
Not simulated: time to live and latency.

Source: Flower 1.41, `flwr.serverapp.Grid` and `flwr.superlink.grid.HttpGrid`, whose behaviour as
the server sees it is repeated here.
"""

import copy
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from server.cohort_sum import CohortSum
from shared.config import Scalar
from shared.errors import FederationError
from shared.messages import TrainInstruction
from simulations.cohort_engine import CohortEngine
from simulations.faults import Fault, Faults, RandomDropout, ScriptedFaults
from simulations.numbered import MOST, NumberedRoster

_LOGGER = logging.getLogger("murmura.grid")
_FIRST_NODE_ID = 1000  # Flower keeps 1 for the SuperLink
_RUN_ID = 1
_MEMORY = "clients"  # beside the ledgers: what clients keep of the run
ClientCallable = Callable[[Message, Context], Message]


class InProcessGrid(Grid):
    """Runs `client_app` for `population` clients in this process, one message at a time.

    Args:
        client_app: The ClientApp, as deployed.
        population: Number of clients; their contexts are made when first needed.
        run_config: Flat run config that every client receives.
        faults: Who fails to answer, and how; None: nobody.
        ledgers: Where the clients' privacy ledgers are kept; None: they keep none.
        arrivals: Round at whose start a client is first online, by its number; the others are
            there from the beginning. Rounds are told by the messages that were sent.
    """

    simulated = True

    def __init__(
        self,
        client_app: ClientCallable,
        population: int,
        run_config: Mapping[str, Scalar],
        *,
        faults: Faults | None = None,
        ledgers: Path | None = None,
        arrivals: Mapping[int, int] | None = None,
    ) -> None:
        self._client_app = client_app
        self._population = population
        self._run_config = dict(run_config)
        self._faults = faults
        self.engine: CohortEngine | None = None
        self._ledgers = ledgers
        self._arrivals = dict(arrivals or {})
        self._latest_round = 0
        self._contexts: dict[int, Context] = {}
        self._pending: dict[str, Message] = {}
        self._numbers = itertools.count(1)
        self._run = Run.create_empty(_RUN_ID)
        # Flower's Message reads the identity of the process it is made in.
        TaskIdentity.task_id = 1
        TaskIdentity.run_id = _RUN_ID
        TaskIdentity.node_id = SUPERLINK_NODE_ID

    def cohort_sum(self, instruction: TrainInstruction, cohort: Sequence[str]) -> CohortSum | None:
        """As `server.cohort_sum.CohortSums`: by the cohort engine, where there is one."""
        if self.engine is None:
            return None
        self._latest_round = max(self._latest_round, instruction.round_number)
        return self.engine.sum_of(instruction, cohort)

    def known_roster(self) -> NumberedRoster | None:
        """As `server.roster.KnowsItsClients`: where all are here, and each would enrol."""
        enrol = self._faults is None or isinstance(self._faults, ScriptedFaults | RandomDropout)
        if self.engine is None or self._arrivals or not enrol or self._population > MOST:
            return None
        return NumberedRoster(self._population, _FIRST_NODE_ID)

    def set_run(self, run: Run) -> None:
        """Set what `run` returns; there is one run in a process."""
        self._run = run

    @property
    def run(self) -> Run:
        """Run information."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """The message, as `Message(...)` makes it."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Ids of all nodes that have arrived; none ever leaves."""
        coming = self._latest_round + 1
        return [
            _FIRST_NODE_ID + index
            for index in range(self._population)
            if self._arrivals.get(index, 0) <= coming
        ]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Accept messages; nothing runs yet. Returns their ids in order."""
        ids = []
        for message in messages:
            message_id = f"message-{next(self._numbers)}"
            message.metadata.__dict__["_message_id"] = message_id
            self._pending[message_id] = message
            self._latest_round = max(self._latest_round, _round_of(message))
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The reply to the first of `message_ids` that is still to be answered; or nothing."""
        for message_id in message_ids:
            message = self._pending.pop(message_id, None)
            reply = self._answer(message) if message is not None else None
            if reply is not None:
                return [reply]
        return []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """All replies that come; a silent client is not waited for, whatever `timeout` says."""
        del timeout  # nothing can arrive later: clients run in here
        ids = list(self.push_messages(messages))
        return [reply for message_id in ids for reply in self.pull_messages([message_id])]

    def _answer(self, message: Message) -> Message | None:
        metadata = message.metadata
        index = self._index(metadata.dst_node_id)
        fault = self._fault(index, message)
        if fault is Fault.SILENT:
            return None
        if fault is Fault.RAISES:
            reply = _error(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "simulated crash")
        elif fault is Fault.UNAVAILABLE:
            reply = _error(message, ErrorCode.NODE_UNAVAILABLE, "simulated dropout")
        else:
            reply = self._run_client(index, message)
        reply.metadata.__dict__["_message_id"] = f"reply-to-{metadata.message_id}"
        return reply

    def _index(self, node_id: int) -> int:
        """Number of the client at a node; any other number for none."""
        return node_id - _FIRST_NODE_ID

    def _fault(self, index: int, message: Message) -> Fault | None:
        if not 0 <= index < self._population:
            return Fault.UNAVAILABLE
        if self._faults is None:
            return None
        return self._faults.fault(index, message.metadata.message_type, message.metadata.group_id)

    def _run_client(self, index: int, message: Message) -> Message:
        # The ClientApp turns whatever goes wrong inside it into a FederationError without secrets;
        # that becomes an error reply, as on a SuperNode: one client must not stop the others.
        try:
            return self._client_app(_isolated(message), self._context(index))
        except FederationError as error:
            _LOGGER.debug("client %d raised", index, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            return _error(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason)

    def _context(self, index: int) -> Context:
        if index not in self._contexts:
            node_config: dict[str, Scalar] = {
                "partition-id": index,
                "num-partitions": self._population,
                "allow-seeded-runs": True,
            }
            if self._ledgers is not None:
                node_config["virtual-ledgers"] = str(self._ledgers)
                node_config["memory"] = str(self._ledgers.with_name(_MEMORY))
            self._contexts[index] = Context(
                run_id=_RUN_ID,
                node_id=_FIRST_NODE_ID + index,
                node_config=node_config,
                state=RecordDict(),
                run_config=dict(self._run_config),
            )
        return self._contexts[index]


def _round_of(message: Message) -> int:
    group = message.metadata.group_id
    return int(group) if group.isdecimal() else 0


def _isolated(message: Message) -> Message:
    """The message with a content of its own: a client may change what it receives."""
    copied = copy.copy(message)
    copied.__dict__["_metadata"] = copy.copy(message.metadata)
    copied.__dict__["_content"] = copy.deepcopy(message.content)
    return copied


def _error(message: Message, code: int, reason: str) -> Message:
    return Message(Error(code=code, reason=reason), reply_to=message)
