"""A run of Flower's as its server's part plays it; a site that answers at the public port."""

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from server.superlink import SuperLink
from tests.server.site_client import FleetClient

VECTORS = "vectors"


def record_of(vector: np.ndarray[Any, Any]) -> RecordDict:
    """A message's content: one vector."""
    return RecordDict({VECTORS: ArrayRecord({"update": Array(vector)})})


def vector_of(content: RecordDict) -> np.ndarray[Any, Any]:
    """Inverse of `record_of`."""
    found: np.ndarray[Any, Any] = content.array_records[VECTORS]["update"].numpy()
    return found


class PlayedRun:
    """A run that is under way; the test is its ServerApp."""

    def __init__(self, superlink: SuperLink) -> None:
        self.state = superlink._state
        fab = self.state.store_fab(Fab("", b"no app", {}))
        self.run_id = self.state.create_run(
            "murmura/test", "1", fab, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID,
            TaskType.SERVER_APP,
        )  # fmt: skip
        task_id = self.state.get_run_info(run_ids=[self.run_id])[0].primary_task_id
        assert task_id is not None
        self.task_id = task_id
        token = self.state.claim_task(self.task_id)
        assert token
        self.token = token
        assert self.state.activate_task(self.task_id)

    def ask(self, node_id: int, content: RecordDict) -> str:
        """Send one message to a node; its id."""
        TaskIdentity.run_id, TaskIdentity.node_id = self.run_id, SUPERLINK_NODE_ID
        message = Message(content, dst_node_id=node_id, message_type="train", ttl=600.0)
        message.metadata.__dict__["_message_id"] = message.object_id
        session = self.state.start_session(self.run_id)
        stored, missing = self.state.store_message_and_object_tree(
            remove_content_from_message(message), get_object_tree(message), session
        )
        assert stored
        objects = get_all_nested_objects(message)
        for name in missing:
            assert self.state.store_object(self.run_id, session, name, objects[name].deflate())
        return str(message.metadata.message_id)

    def answer(self, message_id: str) -> RecordDict:
        """What a node replied; everything of it is dropped then, as Flower's ServerApp does."""
        (reply,) = self.state.get_message_res({message_id}, self.run_id)
        assert not reply.has_error(), reply.error
        store = self.state.object_store
        tree = store.get_object_tree(reply.metadata.message_id)
        contents = {
            entry.object_id: self.state.get_object(self.run_id, entry.object_id) or b""
            for entry in iterate_object_tree(tree)
        }
        whole = inflate_object_from_contents(reply.metadata.message_id, contents)
        self.state.delete_messages({message_id})
        store.delete(reply.metadata.message_id)
        assert isinstance(whole, Message)
        return whole.content

    def finish(self) -> None:
        """The run ends well, and what is left of it is dropped."""
        assert self.state.finish_task(self.task_id, "completed", "")
        self.state.cleanup_run(self.run_id)


def activate(site: FleetClient) -> int:
    """The site's node, as Flower numbers it."""
    answer = site.call(
        "activate-node",
        ActivateNodeRequest(public_key=site.keys.node_key.encode(), heartbeat_interval=30.0),
    )
    assert answer.status_code == 200, answer.text
    return int(ActivateNodeResponse.FromString(answer.content).node_id)


def pulled(site: FleetClient, node_id: int) -> Message | None:
    """The next message for a node, whole; None: there is none."""
    node = Node(node_id=node_id)
    answer = site.call("pull-messages", PullMessagesRequest(node=node))
    assert answer.status_code == 200, answer.text
    response = PullMessagesResponse.FromString(answer.content)
    if not response.messages_list:
        return None
    message = message_from_proto(response.messages_list[0])
    contents = {}
    for entry in iterate_object_tree(response.message_object_trees[0]):
        request = PullObjectRequest(
            node=node, run_id=message.metadata.run_id, object_id=entry.object_id
        )
        part = PullObjectResponse.FromString(site.call("pull-object", request).content)
        assert part.object_found
        contents[entry.object_id] = part.object_content
    whole = inflate_object_from_contents(message.metadata.message_id, contents)
    assert isinstance(whole, Message)
    whole.metadata.__dict__["_message_id"] = message.metadata.message_id
    return whole


def push_request(node_id: int, reply: Message) -> PushMessagesRequest:
    """What announces a reply."""
    return PushMessagesRequest(
        node=Node(node_id=node_id),
        messages_list=[message_to_proto(remove_content_from_message(reply))],
        message_object_trees=[get_object_tree(reply)],
        clientapp_runtime_list=[0.1],
    )


def reply_to(message: Message, content: RecordDict) -> Message:
    """A site's reply."""
    reply = Message(content, reply_to=message)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return reply


def pushed(site: FleetClient, node_id: int, reply: Message) -> None:
    """Send a reply, all its parts."""
    answer = site.call("push-messages", push_request(node_id, reply))
    assert answer.status_code == 200, answer.text
    response = PushMessagesResponse.FromString(answer.content)
    objects = get_all_nested_objects(reply)
    for name in response.objects_to_push:
        request = PushObjectRequest(
            node=Node(node_id=node_id),
            run_id=reply.metadata.run_id,
            session_id=response.session_id,
            object_id=name,
            object_content=objects[name].deflate(),
        )
        assert site.call("push-object", request).status_code == 200
