"""What a site asks of Flower through the public port: its own, once, and within bounds."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fleet_gate import FLEET_PATHS, MIB
from tests.server.flower_run import (
    PlayedRun,
    activate,
    pulled,
    push_request,
    record_of,
    reply_to,
)
from tests.server.honest_rounds import error_of, plays_a_round
from tests.server.served import Served, served
from tests.server.site_client import (
    PROTOBUF,
    FleetClient,
    SiteKeys,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of this file."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def honest(server: Served) -> Iterator[FleetClient]:
    """A site that takes part."""
    with server.site(SiteKeys("honest")) as site:
        yield site


def test_an_honest_site_plays_a_round(server: Served, honest: FleetClient) -> None:
    """Through the gate and back."""
    plays_a_round(server, honest)


def test_what_works_against_flower_alone_fails_here(server: Served, honest: FleetClient) -> None:
    """Task theft, foreign nodes, foreign runs: by a stranger and by a site."""
    theft = AcquireTaskRequest(supported_task_types=["flwr-serverapp"]).SerializeToString()
    node = RegisterNodeFleetRequest(public_key=SiteKeys("x").node_key.encode()).SerializeToString()
    gone = UnregisterNodeFleetRequest(node_id=1).SerializeToString()
    attacks = {
        "/v1/runtime/acquire-task": theft,
        "/v1/fleet/register-node": node,
        "/v1/fleet/unregister-node": gone,
        "/v1/control/register-node": node,
        "/v1/control/start-run": b"",
    }
    with server.stranger() as stranger:
        for client in (stranger, honest):
            for path, content in attacks.items():
                headers = {"content-type": PROTOBUF} | client.keys.headers()
                answer = client.http.post(server.base + path, content=content, headers=headers)
                assert answer.status_code == 404, path
    assert len(server.serving._superlink.nodes()) == len(server.serving._sites.active())


def test_on_loopback_too_a_task_is_given_to_the_executor_alone(server: Served) -> None:
    """It proves the secret; whoever reaches the port without it is refused."""
    theft = AcquireTaskRequest(supported_task_types=["flwr-serverapp"]).SerializeToString()
    answer = httpx.post(
        f"{server.internal}/v1/runtime/acquire-task",
        content=theft,
        headers={"content-type": PROTOBUF},
        trust_env=False,
    )
    assert answer.status_code == 401
    assert httpx.get(f"{server.internal}/health", trust_env=False).status_code == 200


def test_a_site_may_not_use_another_sites_node(server: Served, honest: FleetClient) -> None:
    """Neither its key, which is no secret, nor its number."""
    node = activate(honest)
    other = SiteKeys("other")
    with server.site(other) as site:
        for keys in (honest.keys, SiteKeys("nobody")):
            answer = site.call(
                "pull-messages", PullMessagesRequest(node=Node(node_id=node)), keys.headers()
            )
            assert error_of(answer) == (403, "key_mismatch")
        answer = site.call("pull-messages", PullMessagesRequest(node=Node(node_id=node)))
        assert answer.status_code == 401
    plays_a_round(server, honest)


def test_a_site_cannot_answer_for_another(server: Served, honest: FleetClient) -> None:
    """Although it knows the message."""
    run = PlayedRun(server.serving._superlink)
    node = activate(honest)
    run.ask(node, record_of(np.ones(3, dtype=np.float32)))
    message = pulled(honest, node)
    assert message is not None
    reply = reply_to(message, record_of(np.zeros(3, dtype=np.float32)))
    other = SiteKeys("forger")
    with server.site(other) as site:
        own = activate(site)
        answer = site.call("push-messages", push_request(own, reply))
        assert error_of(answer) == (400, "message_invalid")
        assert site.call("push-messages", push_request(node, reply)).status_code == 401
    run.finish()


def test_a_site_deletes_nothing_by_a_name_that_is_a_path(
    server: Served, honest: FleetClient
) -> None:
    """What it says it has received is a name of an object, and nothing else."""
    run = PlayedRun(server.serving._superlink)
    node = Node(node_id=activate(honest))
    for name in ("../../pki/ca.key", "../state.db", "..", ""):
        request = ConfirmMessageReceivedRequest(
            node=node, run_id=run.run_id, message_object_id=name
        )
        assert honest.call("confirm-message-received", request).status_code == 200
    assert (server.home.pki / "ca.key").exists()
    run.finish()


def test_content_within_a_message_is_refused(server: Served, honest: FleetClient) -> None:
    """Flower would write it to its database as it is."""
    from flwr.common.serde import message_to_proto

    run = PlayedRun(server.serving._superlink)
    node = activate(honest)
    run.ask(node, record_of(np.ones(3, dtype=np.float32)))
    message = pulled(honest, node)
    assert message is not None
    reply = reply_to(message, record_of(np.full(3, 7.5, dtype=np.float32)))
    request = push_request(node, reply)
    del request.messages_list[:]
    request.messages_list.append(message_to_proto(reply))
    assert error_of(honest.call("push-messages", request)) == (400, "message_invalid")
    run.finish()


def test_a_recorded_request_is_refused_and_the_honest_go_on(
    server: Served, honest: FleetClient
) -> None:
    """By the site's own connection, so that nothing but the replay is wrong with it."""
    node = activate(honest)
    request = PullMessagesRequest(node=Node(node_id=node))
    recorded = [honest.keys.headers() for _ in range(50)]
    for headers in recorded:
        assert honest.call("pull-messages", request, headers).status_code == 200
    for headers in recorded:
        assert error_of(honest.call("pull-messages", request, headers)) == (403, "replayed")
    plays_a_round(server, honest)


def test_bodies_that_are_too_large_are_refused(server: Served, honest: FleetClient) -> None:
    """By what they say they are, and by what they are."""
    with server.stranger() as stranger:
        answer = stranger.http.post(f"{server.base}/enrol", content=b"x" * 100_000)
        assert error_of(answer) == (413, "too_large")
    large = PushObjectRequest(object_content=bytes(8 * MIB + 1))
    assert error_of(honest.call("push-object", large)) == (413, "too_large")

    def parts() -> Iterator[bytes]:
        for _ in range(9):
            yield bytes(MIB)

    headers = {"content-type": PROTOBUF} | honest.keys.headers()
    try:
        answer = honest.http.post(
            f"{server.base}/v1/fleet/push-object", content=parts(), headers=headers
        )
    except httpx.TransportError:
        pass  # the server hung up while parts were still coming
    else:
        assert error_of(answer) == (413, "too_large")
    plays_a_round(server, honest)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(FLEET_PATHS)), content=st.binary(max_size=400))
def test_no_malformed_message_does_harm(
    server: Served, honest: FleetClient, path: str, content: bytes
) -> None:
    """Each is answered by a typed error or, where it is one by chance, as a message."""
    headers = {"content-type": PROTOBUF} | honest.keys.headers()
    answer = honest.http.post(server.base + path, content=content, headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"error", "detail"} & set(answer.json())


def test_a_site_that_asks_too_often_is_slowed_down(server: Served) -> None:
    """It alone."""
    with server.site(SiteKeys("eager")) as site:
        server.serving._public._by_site.take("eager")
        server.serving._public._by_site._known["eager"]._left = 0.0
        server.serving._public._by_site._known["eager"]._rate = 0.0
        answer = site.http.get(f"{server.base}/roster")
        assert error_of(answer) == (429, "too_many_requests")
