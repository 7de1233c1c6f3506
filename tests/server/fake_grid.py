"""A Flower Grid whose clients answer by script: late, out of order, wrongly, twice or never."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.parameters import FlatVector
from shared.query_messages import MESSAGE_TYPES

FIRST_NODE = 50
Answer = Callable[[int, Message], Sequence[Message]]  # client number, message -> its replies


class FakeGrid(Grid):
    """Calls `answer` when a message is pushed, and hands the replies out when they are pulled.

    Args:
        population: Number of nodes. Node FIRST_NODE + i is client population - 1 - i, so that the
            order of nodes is not the order of names.
        answer: Replies to one training message of one client.
        backwards: The last reply is handed out first.
        at_once: Replies a pull.
        enrolment: Replies to one enrolment; by default the client's name.
        told: Replies to one private query; by default none.

    Attributes:
        online: Numbers of the nodes that are online after training messages of a round were sent
            (0: of none); by default 0 to population - 1. Further nodes are clients -1, -2, ...
    """

    simulated = True

    def __init__(
        self,
        population: int,
        answer: Answer,
        *,
        backwards: bool = False,
        at_once: int = 1,
        enrolment: Answer | None = None,
        told: Answer | None = None,
    ) -> None:
        self.population = population
        self.answer = answer
        self.enrolment = enrolment or (lambda client, message: [named(f"site-{client}", message)])
        self.told = told or silent
        self.online: Callable[[int], Iterable[int]] = lambda _: range(population)
        self.enrolled: list[Message] = []
        self.asked: list[Message] = []
        self.trained: list[Message] = []
        self._backwards = backwards
        self._at_once = at_once
        self._numbers = itertools.count(1)
        self._replies: list[Message] = []
        TaskIdentity.task_id = 1
        TaskIdentity.run_id = 1
        TaskIdentity.node_id = SUPERLINK_NODE_ID

    def set_run(self, run: Run) -> None:
        """Nothing of it is needed."""

    @property
    def run(self) -> Run:
        """An empty run."""
        return Run.create_empty(1)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """As Flower's."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """All nodes that are online."""
        latest = int(self.trained[-1].metadata.group_id) if self.trained else 0
        return [FIRST_NODE + number for number in self.online(latest)]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let the clients answer; nothing is handed out yet."""
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"m{next(self._numbers)}"
            ids.append(message.metadata.message_id)
            client = FIRST_NODE + self.population - 1 - message.metadata.dst_node_id
            if message.metadata.message_type == "train":
                self.trained.append(message)
                self._replies += self.answer(client, message)
            elif message.metadata.message_type in MESSAGE_TYPES.values():
                self.asked.append(message)
                self._replies += self.told(client, message)
            else:
                self.enrolled.append(message)
                self._replies += self.enrolment(client, message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The next replies, whatever is asked for: a transport may bring more than that."""
        assert list(message_ids), "a pull for nothing is a request for nothing"
        if self._backwards:
            self._replies.reverse()
        found, self._replies = self._replies[: self._at_once], self._replies[self._at_once :]
        if self._backwards:
            self._replies.reverse()
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Too slow over HTTP, and never used."""
        raise NotImplementedError


def named(name: str, message: Message) -> Message:
    """A client's answer to an enrolment."""
    return Message(Enrolled(client_id=name).to_record(), reply_to=message)


def failed(message: Message, reason: str = "the app raised") -> Message:
    """An error reply, as a SuperLink makes it."""
    error = Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=reason)
    return Message(error, reply_to=message)


def updated(
    message: Message,
    update: FlatVector,
    *,
    round_number: int | None = None,
    attempt: int | None = None,
    digest: str | None = None,
) -> Message:
    """An answer to a training message, false where something is given."""
    asked = TrainInstruction.from_record(message.content)
    reply = TrainReply(
        round_number=round_number or asked.round_number,
        attempt=attempt or asked.attempt,
        plan_digest=digest or asked.plan_digest,
        update=update,
    )
    return Message(reply.to_record(), reply_to=message)


def vector(*values: float) -> FlatVector:
    """A float32 vector."""
    return np.array(values, dtype=np.float32)


def honest(client: int, message: Message) -> list[Message]:
    """Client i always sends (0.1, 0.1 i)."""
    return [updated(message, vector(0.1, 0.1 * client))]


def silent(client: int, message: Message) -> list[Message]:
    """Nobody answers."""
    del client, message
    return []
