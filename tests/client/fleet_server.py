"""A tiny Fleet API over TLS, in Flower's own protobuf: what a guard's connection is tried on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fab_pb2 import Fab, GetFabRequest, GetFabResponse
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
    DeactivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.run_pb2 import GetRunRequest, GetRunResponse, Run

from client.letters import Letter
from tests.client.authorities import TestAuthority

NODE = 2**63 + 5
KINDS: Mapping[str, type[Any]] = {
    "activate-node": ActivateNodeRequest,
    "deactivate-node": DeactivateNodeRequest,
    "send-node-heartbeat": SendNodeHeartbeatRequest,
    "pull-messages": PullMessagesRequest,
    "push-messages": PushMessagesRequest,
    "get-run": GetRunRequest,
    "get-fab": GetFabRequest,
    "pull-object": PullObjectRequest,
    "push-object": PushObjectRequest,
    "confirm-message-received": ConfirmMessageReceivedRequest,
}


@dataclass
class FleetServer:
    """What it was asked is kept; what it answers can be changed."""

    authority: TestAuthority
    port: int = 0
    connections: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    asking: Any = None
    keeps: bool = False
    asked: list[tuple[str, Any]] = field(default_factory=list)
    refusals: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    messages: list[Letter] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    pushed: dict[str, bytes] = field(default_factory=dict)
    bundle: bytes = b"an app"
    success: bool = True
    stored: bool = True

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def give(self, message: Message) -> Letter:
        """Have a message."""
        letter = Letter.of(message)
        self.messages.append(letter)
        self.objects |= letter.objects
        return letter

    def handle(self, path: str, content: bytes, shown: str | None) -> tuple[int, bytes]:
        """Status and content."""
        del shown
        name = path.removeprefix("/v1/fleet/")
        if self.refusals.get(name):
            return self.refusals[name].pop(0)
        request = KINDS[name].FromString(content)
        self.asked.append((name, request))
        return 200, self._answer(name, request).SerializeToString()

    def _answer(self, name: str, request: Any) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "activate-node": lambda: ActivateNodeResponse(node_id=NODE),
            "deactivate-node": DeactivateNodeResponse,
            "send-node-heartbeat": lambda: SendNodeHeartbeatResponse(success=self.success),
            "pull-messages": self._pull,
            "push-messages": lambda: PushMessagesResponse(
                objects_to_push=ids(request.message_object_trees[0]), session_id="s"
            ),
            "get-run": lambda: GetRunResponse(run=Run(run_id=request.run_id, fab_hash="h")),
            "get-fab": lambda: GetFabResponse(
                fab=Fab(hash_str=request.hash_str, content=self.bundle)
            ),
            "push-object": lambda: self._push(request),
            "pull-object": lambda: self._object(request.object_id),
            "confirm-message-received": ConfirmMessageReceivedResponse,
        }
        return answers[name]()

    def _push(self, request: Any) -> PushObjectResponse:
        self.pushed[request.object_id] = request.object_content
        return PushObjectResponse(stored=self.stored)

    def _pull(self) -> PullMessagesResponse:
        if not self.messages:
            return PullMessagesResponse()
        letter = self.messages.pop(0)
        return PullMessagesResponse(
            messages_list=[ProtoMessage.FromString(letter.message)],
            message_object_trees=[ObjectTree.FromString(letter.tree)],
        )

    def _object(self, name: str) -> PullObjectResponse:
        if name in self.late:
            self.late.discard(name)
            return PullObjectResponse(object_found=True, object_available=False)
        if name not in self.objects:
            return PullObjectResponse(object_found=False)
        return PullObjectResponse(
            object_found=True, object_available=True, object_content=self.objects[name]
        )


def ids(tree: Any) -> list[str]:
    """Of all objects of a tree."""
    return [tree.object_id, *(name for child in tree.children for name in ids(child))]


def instruction_message(content: Any, *, src: int = SUPERLINK_NODE_ID, dst: int = NODE) -> Message:
    """A message of the server to the node."""
    message = Message(content, dst_node_id=dst, message_type="train", group_id="1")
    message.metadata.__dict__["_src_node_id"] = src
    return message
