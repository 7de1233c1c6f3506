"""The site's end of Flower's Fleet API.

What `flower-supernode` does with a server, and no more: be online, take a message, fetch what
belongs to it, send the answer. Differences: the site's certificate, answers of bounded size,
objects whose SHA-256 is checked, errors by name. With `client.letters` the only file that knows
Flower's private modules; `tests/client/test_fleet_contract.py` pins what is used.

Source: Flower 1.41, flwr.supernode.fleet_http_connection and start_client_internal.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, SUPERLINK_NODE_ID
from flwr.common.serde import run_from_proto
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.interceptors.http.utils import add_headers
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.fleet_errors import ConnectionEnded, FleetRefused, FleetUnavailable, named_errors
from client.letters import Letter, Received, inflated
from client.tls import LARGEST_ANSWER, base_url, https
from shared.config import Scalar
from shared.errors import MessageError, ProtocolError
from shared.object_transfer import Pushing, pull

_AT_ONCE = 4
_OBJECT_S, _OBJECT_WAIT_S = 60.0, 0.05
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What the server says of a run: its bundle, and settings above the bundle's own."""

    bundle_hash: str
    overrides: Mapping[str, Scalar]


class Fleet:
    """One site's connection.

    Args:
        address: host:port.
        context: As `client.tls.site_context` makes it.
        node_key: ECDSA P-384.
        largest: Bytes of one message's content.
    """

    def __init__(
        self,
        address: str,
        context: ssl.SSLContext,
        node_key: ec.EllipticCurvePrivateKey,
        *,
        largest: int,
    ) -> None:
        self._address = address
        self._node_key = node_key
        self._largest = largest
        self._client = _Client(address, context, node_key)
        self._node = Node()

    def show(self, context: ssl.SSLContext) -> None:
        """From now on use another certificate; requests under way may break off."""
        old, self._client = self._client, _Client(self._address, context, self._node_key)
        old.close()

    def connect(self, known: int | None) -> int:
        """Be online; returns the node's number.

        Args:
            known: As it was before.

        Raises:
            FleetUnavailable: the server does not answer.
            FleetRefused: it does not know this node, or its clock is another.
        """
        key = public_key_to_bytes(self._node_key.public_key())
        asked = ActivateNodeRequest(public_key=key, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
        try:
            self._node = Node(node_id=self._call(lambda: self._client.ActivateNode(asked)).node_id)
        except FleetRefused:
            # Flower's server refuses for a minute a node that it takes for alive; a sign of life
            # of that node does as well.
            if known is None:
                raise
            self._node = Node(node_id=known)
            self.heartbeat()
        return int(self._node.node_id)

    def heartbeat(self) -> None:
        """Stay online for a minute. Raises FleetUnavailable or FleetRefused."""
        asked = SendNodeHeartbeatRequest(
            node=self._node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        if not self._asked(lambda: self._client.SendNodeHeartbeat(asked)).success:
            raise FleetRefused("the server does not know this node")

    def receive(self) -> Received | None:
        """The next message; the server gives it out once. Raises FleetUnavailable or Refused."""
        asked = PullMessagesRequest(node=self._node)
        found = self._call(lambda: self._client.PullMessages(asked))
        if not found.messages_list or not found.message_object_trees:
            return None
        message, tree = found.messages_list[0], found.message_object_trees[0]
        return Received(message.SerializeToString(), tree.SerializeToString())

    def order(self, run_id: int) -> RunOrder:
        """What the server says of a run. Raises RunOver too."""
        asked = GetRunRequest(node=self._node, run_id=run_id)
        run = run_from_proto(self._asked(lambda: self._client.GetRun(asked)).run)
        return RunOrder(run.fab_hash, dict(run.override_config))

    def bundle(self, run_id: int, bundle_hash: str) -> bytes:
        """The bundle of a run, which has this hash. Raises MessageError or RunOver too."""
        asked = GetFabRequest(node=self._node, hash_str=bundle_hash, run_id=run_id)
        content = self._asked(lambda: self._client.GetFab(asked)).fab.content
        if sha256(content).hexdigest() != bundle_hash:
            raise MessageError(f"expected a bundle of hash {bundle_hash}, got another")
        return bytes(content)

    def content(self, received: Received) -> Message:
        """The whole message. Raises MessageError if it is not what was announced; RunOver too."""
        metadata = received.metadata
        contents = self._fetched(metadata.run_id, received.names())
        message = inflated(metadata.message_id, contents, self._largest)
        known = (message.metadata.src_node_id, message.metadata.dst_node_id)
        if known != (SUPERLINK_NODE_ID, self._node.node_id) or not message.has_content():
            raise MessageError("expected a message of the server to this node")
        message.metadata.__dict__["_message_id"] = metadata.message_id
        return message

    def confirm(self, received: Received) -> None:
        """Let the server forget the message's objects. Raises as `order`."""
        metadata = received.metadata
        asked = ConfirmMessageReceivedRequest(
            node=self._node, run_id=metadata.run_id, message_object_id=metadata.message_id
        )
        self._asked(lambda: self._client.ConfirmMessageReceived(asked))

    def send(self, letter: Letter) -> None:
        """The server has the whole answer; once more does no harm. Raises as `order`."""
        asked = PushMessagesRequest(
            node=self._node,
            messages_list=[ProtoMessage.FromString(letter.message)],
            message_object_trees=[ObjectTree.FromString(letter.tree)],
            clientapp_runtime_list=[0.0],
        )
        found = self._call(lambda: self._client.PushMessages(asked))
        wanted = [name for name in found.objects_to_push if name in letter.objects]

        run_id = letter.run_id

        def push(name: str) -> bool:
            request = PushObjectRequest(
                node=self._node, run_id=run_id, object_id=name, session_id=found.session_id
            )
            asked: Any = Pushing(request, letter.objects[name])
            return bool(self._call(lambda: self._client.PushObject(asked)).stored)

        # The answer itself comes last: once it is there, the server hands the whole to the run.
        parts = [name for name in wanted if name != letter.digest]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            stored = all(pool.map(push, parts))
        if not stored or (len(parts) < len(wanted) and not push(letter.digest)):
            raise FleetUnavailable("the server took another copy of the answer")

    def close(self) -> None:
        """Go offline, if the server is there to be told."""
        try:
            asked = DeactivateNodeRequest(node_id=self._node.node_id)
            self._call(lambda: self._client.DeactivateNode(asked))
        except ProtocolError:
            pass
        self._client.close()

    def _fetched(self, run_id: int, names: list[str]) -> dict[str, bytes]:
        def pulled(name: str) -> bytes:
            content = self._object(run_id, name)
            # Guarantee: what is read is what the message's id stands for.
            if sha256(content).hexdigest() != name:
                raise MessageError("expected an object of its own hash, got another")
            return content

        contents, left = dict[str, bytes](), self._largest
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                contents |= zip(some, pool.map(pulled, some), strict=True)
                left -= sum(len(contents[name]) for name in some)
                if left < 0:
                    raise MessageError(f"expected a message of {self._largest} bytes at most")
        return contents

    def _object(self, run_id: int, name: str) -> bytes:
        asked = PullObjectRequest(node=self._node, run_id=run_id, object_id=name)
        deadline = time.monotonic() + _OBJECT_S
        while True:
            found = self._asked(lambda: pull(self._client, "Fleet", asked))
            if not found.object_found:
                raise MessageError("expected all objects of a message, got one less")
            if found.object_available:
                return found.object_content
            # A message is given out while the run is still handing its objects in.
            if time.monotonic() > deadline:
                raise FleetUnavailable("the server has not got all of a message yet")
            time.sleep(_OBJECT_WAIT_S)

    def _asked(self, call: Callable[[], _Answer]) -> _Answer:
        """What does no harm if it is asked twice: once more where the connection ends.

        Signed anew each time, since the server takes no request twice.
        """
        try:
            return self._call(call)
        except ConnectionEnded:
            return self._call(call)

    @staticmethod
    def _call(call: Callable[[], _Answer]) -> _Answer:
        with named_errors():
            return call()


class _Version:
    """Tells the server Flower's version; Flower's own would end this process where they differ."""

    def __init__(self) -> None:
        known = RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata()
        self._headers = {str(name): str(value) for name, value in known}

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        add_headers(context.request, dict(self._headers))
        return call_next(context)


class _Client(FleetHttpClient):
    """Flower's client over our connection."""

    def __init__(
        self, address: str, context: ssl.SSLContext, node_key: ec.EllipticCurvePrivateKey
    ) -> None:
        super().__init__(
            base_url(address),
            interceptors=[
                _Version(),
                NodeAuthHttpInterceptor(node_key, node_key.public_key()),
            ],
            verify=context,
        )
        self._client.close()
        self._client = https(context, largest=LARGEST_ANSWER)
