"""The short way answers as Flower's whole application does, whoever asks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

from server.limits import Receive, Scope, Send
from server.public_api import respond
from server.short_way import ShortWay
from server.superlink import SuperLink
from tests.server.asgi import Answer, ask, scope_of
from tests.server.flower_run import PlayedRun, record_of
from tests.server.site_client import PROTOBUF, SiteKeys

KEYS, OTHER = SiteKeys("site-a"), SiteKeys("site-b")
FLEET, RUNTIME = "/v1/fleet/", "/v1/runtime/"
VECTOR = np.arange(9, dtype=np.float32)
SENT_ON = 299


class Played:
    """A run in which a site was asked something.

    Attributes:
        way: What is tested, around an application that answers everything with 299.
        bodies: Of the requests that got there.
    """

    def __init__(self, link: SuperLink) -> None:
        for keys in (KEYS, OTHER):
            link.register(keys.name, keys.node_key)
        self.node = link.nodes()[KEYS.node_key].node_id
        assert link._state.activate_node(self.node, 30.0)
        self.run = PlayedRun(link)
        self.message = self.run.ask(self.node, record_of(VECTOR))
        self.link = link
        self.bodies: list[bytes] = []
        self.way = ShortWay(self, link._store)  # type: ignore[arg-type] # what is used of it
        self.state = link.app.state

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Flower's whole application, as it were."""
        self.bodies.append((await receive())["body"])
        await respond(send, SENT_ON, None)

    def pull(self, name: str = "", node: int = 0) -> bytes:
        """A request for an object; the message itself."""
        asked = PullObjectRequest(
            node=Node(node_id=node or self.node),
            run_id=self.run.run_id,
            object_id=name or self.message,
        )
        return bytes(asked.SerializeToString())


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    """With a database of its own."""
    link = SuperLink(tmp_path / "state.db", b"exec secret", b"k" * 32)
    yield Played(link)
    link.close()


def headers(of: dict[str, str], kind: str = PROTOBUF) -> list[tuple[bytes, bytes]]:
    """Of a request."""
    return [(key.encode(), value.encode()) for key, value in ({"content-type": kind} | of).items()]


def of_task(token: str) -> dict[str, str]:
    """What an app's process shows."""
    version = RuntimeVersionMetadata.from_local_component("flwr-serverapp").as_metadata()
    return {str(key): str(value) for key, value in version} | {TASK_TOKEN_HEADER: token}


def test_a_site_fetches_an_object_and_flowers_application_is_not_asked(played: Played) -> None:
    """In parts too, as it comes from a socket."""
    body, scope = played.pull(), scope_of("POST", FLEET + "pull-object", headers(KEYS.headers()))
    answer = ask(played.way, scope, body[:5], body[5:])
    found = PullObjectResponse.FromString(answer.body)
    assert (answer.status, found.object_found, found.object_available) == (200, True, True)
    assert found.object_content == played.link._store.get(played.message)
    assert answer.headers[b"content-length"] == str(len(answer.body)).encode()
    assert played.bodies == []


def test_the_runs_own_process_hands_objects_in_and_fetches_them(played: Played) -> None:
    """By the token of its task; what nobody has announced is not stored."""
    shown = headers(of_task(played.run.token))
    asked = played.pull(node=SUPERLINK_NODE_ID)
    answer = ask(played.way, scope_of("POST", RUNTIME + "pull-object", shown), asked)
    assert PullObjectResponse.FromString(answer.body).object_available
    push = PushObjectRequest(
        node=Node(node_id=SUPERLINK_NODE_ID), run_id=played.run.run_id, object_id="0" * 64
    )
    pushing = scope_of("POST", RUNTIME + "push-object", shown)
    assert ask(played.way, pushing, push.SerializeToString()).body == b""  # not stored
    assert played.bodies == []


def test_a_sign_of_life_is_taken(played: Played) -> None:
    """Of the site's own node."""
    asked = SendNodeHeartbeatRequest(node=Node(node_id=played.node), heartbeat_interval=30.0)
    scope = scope_of("POST", FLEET + "send-node-heartbeat", headers(KEYS.headers()))
    answer = ask(played.way, scope, asked.SerializeToString())
    assert SendNodeHeartbeatResponse.FromString(answer.body).success
    assert played.bodies == []


@pytest.mark.parametrize("path", [FLEET + "pull-object", RUNTIME + "pull-object"])
@pytest.mark.parametrize(
    "shown",
    [{}, KEYS.headers() | {"flwr-timestamp": "2020-01-01T00:00:00+00:00"}, OTHER.headers(),
     of_task("no token"), KEYS.headers() | {"flwr-signature": "?"}],
)  # fmt: skip
def test_whoever_flower_would_refuse_gets_flowers_refusal(
    played: Played, path: str, shown: dict[str, str]
) -> None:
    """Without a signature, with an old one, another site's, a token that is none: no object."""
    body = played.pull()
    scope = scope_of("POST", path, headers(shown)) | {"query_string": b""}
    assert ask(played.way, dict(scope), body).status == SENT_ON
    assert played.bodies == [body]
    refused: Answer = ask(played.link.app, dict(scope), body)
    assert 400 <= refused.status < 500
    assert ask(played.link.way, dict(scope), body) == refused


@pytest.mark.parametrize(
    ("method", "path", "kind", "body"),
    [
        ("POST", "get-run", PROTOBUF, b""), ("GET", "pull-object", PROTOBUF, b""),
        ("POST", "pull-object", "text/plain", b""), ("POST", "pull-object/", PROTOBUF, b""),
        ("POST", "pull-object", PROTOBUF, b"\xff"),
    ],
)  # fmt: skip
def test_anything_else_goes_to_flower(
    played: Played, method: str, path: str, kind: str, body: bytes
) -> None:
    """Another path, method, form, or what cannot be read."""
    scope = scope_of(method, FLEET + path, headers(KEYS.headers(), kind))
    assert ask(played.way, scope, body).status == SENT_ON
    assert played.bodies == [body]


def test_of_a_run_that_has_ended_flower_gives_no_object(played: Played) -> None:
    """The answer is Flower's own."""
    played.run.finish()
    scope: Any = scope_of("POST", FLEET + "pull-object", headers(KEYS.headers()))
    assert ask(played.way, scope, played.pull()).status == SENT_ON
