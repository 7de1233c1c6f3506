"""The part of a SuperLink's Runtime API that replies are pulled by, over objects in memory."""

import ssl
from collections.abc import Iterable
from typing import Any

import httpx
from flwr.app import Message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import (
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.run import Run
from flwr.superlink.grid import HttpGrid


class StubSuperLink:
    """Holds replies and their objects; hands over each reply once, as Flower does.

    Attributes:
        objects: Content by id; what is not there is not found.
        late: Ids of objects that have not come yet.
        asked: Messages that were pushed.
        confirmed: Replies that were taken.
        pulled: Ids of objects in the order they were pulled.
        failure: Raised by the next request for messages.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.late: set[str] = set()
        self.asked: list[Any] = []
        self.confirmed: list[str] = []
        self.pulled: list[str] = []
        self.failure: Exception | None = None
        # It is never asked, so no authority is read for it: 20 ms a stub.
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.Client(trust_env=False, verify=nobody)
        self._replies: dict[str, tuple[Any, ObjectTree]] = {}

    def hold(self, reply: Message) -> str:
        """Take a reply in; returns its id."""
        name = reply.object_id
        reply.metadata.__dict__["_message_id"] = name
        nested = get_all_nested_objects(reply)
        self.objects |= {key: part.deflate() for key, part in nested.items()}
        self.announce(reply, get_object_tree(reply))
        return name

    def announce(self, reply: Message, tree: ObjectTree) -> None:
        """Take in what a node says of a reply, without its objects."""
        self._replies[reply.metadata.reply_to_message_id] = (message_to_proto(reply), tree)

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:  # noqa: N802
        """Keep the messages; all objects that are not there are wanted, in one session."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.asked += request.messages_list
        parts = (
            part.object_id
            for tree in request.message_object_trees
            for part in iterate_object_tree(tree)
        )
        return PushAppMessagesResponse(
            message_ids=[f"m{number}" for number in range(len(self.asked))],
            objects_to_push=[name for name in dict.fromkeys(parts) if name not in self.objects],
            session_id="session",
        )

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:  # noqa: N802
        """Keep one object."""
        request = PushObjectRequest.FromString(request.SerializeToString(deterministic=True))
        self.objects[request.object_id] = request.object_content
        return PushObjectResponse(stored=request.session_id == "session")

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802
        """Each reply once."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        found = [self._replies.pop(name) for name in request.message_ids if name in self._replies]
        return PullAppMessagesResponse(
            messages_list=[message for message, _ in found],
            message_object_trees=[tree for _, tree in found],
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        """One object."""
        name = request.object_id
        self.pulled.append(name)
        known = name in self.objects or name in self.late
        return PullObjectResponse(
            object_found=known,
            object_available=known and name not in self.late,
            object_content=self.objects.get(name, b""),
        )

    def _unary_unary(self, *, path: str, response_type: Any, request: Any, rpc_method: str) -> Any:
        """`PullObject`, for whoever reads its answer by a parser of its own."""
        assert (path, rpc_method) == ("/v1/runtime/pull-object", "/flwr.proto.Runtime/PullObject")
        answer = response_type()
        answer.ParseFromString(self.PullObject(request).SerializeToString())
        return answer

    def ConfirmMessageReceived(self, request: Any) -> None:  # noqa: N802
        """Keep that it was."""
        self.confirmed.append(request.message_object_id)


class StubGrid(HttpGrid):
    """Flower's grid, which asks the stub instead of the network."""

    def __init__(self, superlink: StubSuperLink) -> None:
        super().__init__(token="none")  # noqa: S106 - nobody asks for it
        self.set_run(Run.create_empty(7))
        self.superlink = superlink

    @property
    def _runtime_client(self) -> Any:
        return self.superlink

    def get_node_ids(self) -> Iterable[int]:
        """Two nodes."""
        return [4, 5]


def too_large() -> httpx.HTTPStatusError:
    """What Flower's client raises at a response that is larger than the SuperLink sends."""
    request = httpx.Request("POST", "http://superlink")
    response = httpx.Response(httpx.codes.REQUEST_ENTITY_TOO_LARGE, request=request)
    return httpx.HTTPStatusError("too large", request=request, response=response)
