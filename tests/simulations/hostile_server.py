"""A server that sends what it likes: a grid between the deployed ServerApp and ClientApp."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import Context, Message, RecordDict

from client.app import app
from client.identity import membership
from client.site import demonstration_name, this_site
from server.app import app as server_app
from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.messages import TrainInstruction
from shared.secagg.exchange import RoundContext, UnmaskRequest
from shared.secagg.keys import SignedKey, signed_key
from shared.secagg.packing import (
    context_from_bytes,
    context_to_bytes,
    fields,
    joined,
    keys_from_bytes,
    keys_to_bytes,
    request_from_bytes,
    request_to_bytes,
)
from simulations.faults import Faults
from simulations.grid import InProcessGrid

FIRST_NODE = 1000
Place = tuple[str, int]


class Watched(InProcessGrid):
    """Lets somebody look at each message before its client has it, and at each reply.

    Args:
        raw: Of the run.
        before: Called with each message.
        after: Called with each message and what came back.
        faults: Who fails to answer, and how; None: nobody.
    """

    def __init__(
        self,
        raw: Mapping[str, Scalar],
        before: Callable[[Message], None] = lambda _: None,
        after: Callable[[Message, Message], None] = lambda _, __: None,
        faults: Faults | None = None,
    ) -> None:
        self.raw = RunConfig.from_run_config(raw).flat()
        self.folder = Path(str(self.raw["output.dir"])) / str(self.raw["output.run_id"])
        count = int(self.raw["population.size"])
        super().__init__(app, count, self.raw, faults=faults, ledgers=self.folder / "ledgers")
        self._before, self._after = before, after

    def _answer(self, message: Message) -> Message | None:
        self._before(message)
        reply = self.deliver(message)
        self._after(message, reply)
        return reply

    def deliver(self, message: Message) -> Message:
        """What a client answers to any message at all."""
        reply = super()._answer(message)
        assert reply is not None
        return reply

    def play(self) -> Path:
        """The deployed server's run over this grid, to its end."""
        server_app(grid=self, context=Context(1, 1, {}, RecordDict(), self.raw))
        return self.folder


@dataclass(frozen=True, slots=True)
class Scene:
    """What a hostile server knows when it makes up a message.

    Attributes:
        raw: Of the run.
        message: The honest one.
        first: By type and round, the first message of each, as far as they came.
        foreign: What a member of another run was asked.
    """

    raw: Mapping[str, Scalar]
    message: Message
    first: Mapping[Place, Message]
    foreign: UnmaskRequest

    @property
    def keys(self) -> tuple[SignedKey, ...]:
        """All signed keys of the run, as the first instruction brings them."""
        return keys_from_bytes(fields(instruction_in(self.first["train", 1]).aggregation, 2)[0])

    @property
    def context(self) -> RoundContext:
        """Of the newest round of training."""
        newest = max(number for kind, number in self.first if kind == "train")
        return context_in(self.first["train", newest])

    @property
    def request(self) -> UnmaskRequest:
        """What the member is honestly asked."""
        return request_in(self.message)

    def second_key(self, index: int, run_id: str = "") -> SignedKey:
        """Another key of a corrupt client, signed as well as its first."""
        plan = PrivacyPlan.from_config(RunConfig.from_run_config(self.raw)).digest()
        fresh, run = X25519PrivateKey.generate(), run_id or self.context.run_id
        name = demonstration_name(index)
        return signed_key(identity_of(self.raw, index), fresh, name, run, plan)

    def asked(
        self,
        *,
        keys: tuple[SignedKey, ...] | None = None,
        context: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> Message:
        """The instruction to train, changed, in a context that fits it but for `context`."""
        honest = instruction_in(self.message)
        asked = replace(honest, **changed)
        sent, packed = fields(honest.aggregation, 2)
        fitting = replace(
            context_from_bytes(packed),
            model=asked.digest(),
            round_number=asked.round_number,
            attempt=asked.attempt,
        )
        content = context_to_bytes(replace(fitting, **(context or {})))
        known = sent if keys is None else keys_to_bytes(keys)
        return self.sent(replace(asked, aggregation=joined(known, content)).to_record())

    def unmask(self, request: UnmaskRequest, member: str = "") -> Message:
        """Another request to the member, or to another one."""
        told = UnmaskMessage.from_record(self.message.content)
        return self.sent(replace(told, content=request_to_bytes(request)).to_record(), member)

    def sent(self, content: RecordDict, client: str = "") -> Message:
        """Other content to the same client, or to another one, in a message of the same type."""
        metadata = self.message.metadata
        return Message(
            content,
            dst_node_id=node_of(client) if client else metadata.dst_node_id,
            message_type=metadata.message_type,
            group_id=metadata.group_id,
        )


Attack = Callable[[Scene], Message]
Moment = tuple[str, int, str]


@dataclass
class Attacker:
    """Makes each attack before or after the first message of a type in a round of an honest run.

    Attributes:
        raw: Of the run.
        attacks: Moment and message of each, by name.
        foreign: What a member of another run was asked.
        faults: Who fails to answer.
        replies: To the attacks.
        honest: First answers to the honest messages that are the first of their type and round.
    """

    raw: Mapping[str, Scalar]
    attacks: Mapping[str, tuple[Moment, Attack]]
    foreign: UnmaskRequest
    faults: Faults | None = None
    replies: dict[str, Message] = field(default_factory=dict)
    honest: dict[Place, Message] = field(default_factory=dict)
    first: dict[Place, Message] = field(default_factory=dict)

    def play(self) -> Path:
        """The whole run; its folder."""
        self.grid = Watched(self.raw, self._before, self._after, self.faults)
        return self.grid.play()

    def _before(self, message: Message) -> None:
        if self.first.setdefault(place_of(message), message) is message:
            self._attack(message, "before")

    def _after(self, message: Message, reply: Message) -> None:
        place = place_of(message)
        if self.first[place] is message:
            self.honest[place] = reply
            self._attack(message, "after")

    def _attack(self, message: Message, when: str) -> None:
        for name, (moment, made) in self.attacks.items():
            if moment == (*place_of(message), when):
                scene = Scene(self.raw, message, self.first, self.foreign)
                self.replies[name] = self.grid.deliver(made(scene))


def identity_of(raw: Mapping[str, Scalar], index: int) -> Ed25519PrivateKey:
    """What a corrupt client of a demonstration tells the server."""
    config = RunConfig.from_run_config(raw)
    node: dict[str, Scalar] = {
        "partition-id": index,
        "num-partitions": config.population.size,
        "allow-seeded-runs": True,
    }
    return membership(this_site(node, config), PrivacyPlan.from_config(config)).identity


def node_of(client: str) -> int:
    """Flower's number of a demonstration's client in the grid."""
    return FIRST_NODE + int(client.removeprefix("site-"))


def place_of(message: Message) -> Place:
    """Type and round."""
    return message.metadata.message_type, int(message.metadata.group_id)


def instruction_in(message: Message) -> TrainInstruction:
    """What a client is asked to train."""
    return TrainInstruction.from_record(message.content)


def context_in(message: Message) -> RoundContext:
    """Of an instruction to train."""
    return context_from_bytes(fields(instruction_in(message).aggregation, 2)[1])


def request_in(message: Message) -> UnmaskRequest:
    """What a member is asked to unmask."""
    return request_from_bytes(UnmaskMessage.from_record(message.content).content)


def request_of_a_run(raw: Mapping[str, Scalar], round_number: int) -> UnmaskRequest:
    """What a member that cannot derive its shares is asked in a run that nobody disturbs."""
    asked: list[Message] = []

    def keep(message: Message) -> None:
        if place_of(message) == (UNMASK, round_number):
            asked.append(message)

    Watched(raw, keep).play()
    return next(request for request in map(request_in, asked) if request.ciphertexts)
