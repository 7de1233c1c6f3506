"""What hostile peers try at the public port, each a function that says how often it was refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from server.fleet_gate import FLEET_PATHS
from server.home import ServerHome
from server.invitations import Invitations
from server.sites import Sites
from tests.server.site_client import (
    PROTOBUF,
    FleetClient,
    SiteKeys,
    client_of,
    context_for,
    pem_of,
    self_signed,
)

LARGEST = 600
_NODE = Node(node_id=7)
VALID: dict[str, Message] = {
    "/v1/fleet/activate-node": ActivateNodeRequest(public_key=b"k", heartbeat_interval=30.0),
    "/v1/fleet/deactivate-node": DeactivateNodeRequest(node_id=7),
    "/v1/fleet/send-node-heartbeat": SendNodeHeartbeatRequest(node=_NODE, heartbeat_interval=3.0),
    "/v1/fleet/pull-messages": PullMessagesRequest(node=_NODE),
    "/v1/fleet/push-messages": PushMessagesRequest(node=_NODE),
    "/v1/fleet/get-run": GetRunRequest(node=_NODE, run_id=3),
    "/v1/fleet/get-fab": GetFabRequest(node=_NODE, hash_str="ab" * 32, run_id=3),
    "/v1/fleet/push-object": PushObjectRequest(node=_NODE, object_id="ab" * 32),
    "/v1/fleet/pull-object": PullObjectRequest(node=_NODE, object_id="ab" * 32),
    "/v1/fleet/confirm-message-received": ConfirmMessageReceivedRequest(node=_NODE, run_id=3),
}
assert VALID.keys() == FLEET_PATHS.keys()
STOLEN: dict[str, bytes] = {
    "/v1/runtime/acquire-task": AcquireTaskRequest(
        supported_task_types=["flwr-serverapp"]
    ).SerializeToString(),
    "/v1/fleet/register-node": RegisterNodeFleetRequest(public_key=b"k").SerializeToString(),
    "/v1/fleet/unregister-node": UnregisterNodeFleetRequest(node_id=1).SerializeToString(),
    "/v1/control/register-node": RegisterNodeFleetRequest(public_key=b"k").SerializeToString(),
    "/v1/control/start-run": b"",
    "/v1/control/list-runs": b"",
    "/v1/runtime/pull-messages": b"",
    "/openapi.json": b"",
    "/murmura/status": b"",
    "/metrics": b"",
}


@dataclass
class Siege:
    """A server, and who besieges it.

    Attributes:
        home: The server's.
        base: https://host:port.
        folder: For certificates.
        site: A site whose operator is hostile, and whose certificate counts.
        certificate: Of that site.
        answers: By status, of what was refused.
    """

    home: ServerHome
    base: str
    folder: Path
    site: FleetClient
    answers: dict[int, int] = field(default_factory=dict)

    def stranger(self, certificate: str = "", key: bytes = b"") -> Any:
        """A client that shows a certificate, or none."""
        return client_of(
            self.base, context_for(self.home.pki / "ca.pem", self.folder, certificate, key)
        )

    def refused(self, answer: httpx.Response) -> None:
        """Count a refusal, which has a type."""
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
        if answer.status_code != 404 or answer.content:
            assert {"error", "detail"} & set(answer.json())
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1

    def post(self, client: FleetClient, path: str, content: bytes) -> httpx.Response:
        """One request in Flower's form, signed by the client's node."""
        headers = {"content-type": PROTOBUF} | client.keys.headers()
        return client.http.post(self.base + path, content=content, headers=headers)


def takes_what_is_not_its_own(siege: Siege, times: int) -> None:
    """Task theft, foreign nodes, foreign runs, the server's own pages: by anybody."""
    with siege.stranger() as stranger:
        for _ in range(max(1, times // 100)):
            for client in (stranger, siege.site):
                for path, content in STOLEN.items():
                    answer = siege.post(client, path, content)
                    assert answer.status_code == 404, path
                    siege.refused(answer)


def comes_without_a_certificate(siege: Siege, times: int) -> None:
    """To every endpoint of sites."""
    with siege.stranger() as stranger:
        for _ in range(max(1, times // 100)):
            for path, message in VALID.items():
                siege.refused(siege.post(stranger, path, message.SerializeToString()))


def comes_with_its_own_certificate(siege: Siege, times: int) -> None:
    """One that it signed itself: the handshake fails."""
    certificate, key = self_signed("honest")
    for _ in range(max(1, times // 10)):
        with siege.stranger(certificate, pem_of(key)) as forger:
            try:
                siege.refused(forger.http.get(f"{siege.base}/health"))
            except httpx.TransportError:
                siege.answers[0] = siege.answers.get(0, 0) + 1
            else:
                raise AssertionError("a certificate that nobody vouches for was taken")


def comes_after_it_was_revoked(siege: Siege, times: int) -> None:
    """With a certificate that counted once."""
    keys = SiteKeys("gone")
    certificate = enrolled(siege, keys, token_for(siege, "gone")).json()["certificate"]
    with siege.home.locked():
        Sites(siege.home).revoke("gone")
    with siege.stranger(certificate, pem_of(keys.key)) as gone:
        gone.keys = keys
        for _ in range(max(1, times // 100)):
            for path, message in VALID.items():
                siege.refused(siege.post(gone, path, message.SerializeToString()))


def steals_a_token(siege: Siege, times: int) -> None:
    """One that was used, one for another name, one that was made up."""
    used, other = token_for(siege, "second"), token_for(siege, "third")
    assert enrolled(siege, SiteKeys("second"), used).status_code == 200
    for _ in range(max(1, times // 100)):
        siege.refused(enrolled(siege, SiteKeys("second"), used))
        siege.refused(enrolled(siege, SiteKeys("thief"), other))
        siege.refused(enrolled(siege, SiteKeys("thief"), "A" * 43))


def replays(siege: Siege, times: int) -> None:
    """Every request that it has recorded, from a connection that counts."""
    request = VALID["/v1/fleet/get-run"]
    recorded = [siege.site.keys.headers() for _ in range(times)]
    for headers in recorded:
        siege.site.call("get-run", request, headers)
    for headers in recorded:
        answer = siege.site.call("get-run", request, headers)
        assert answer.json()["error"] == "replayed"
        siege.refused(answer)


def changed(valid: bytes) -> Any:
    """Bytes that are near to a valid message, or any at all."""
    places = st.lists(
        st.tuples(st.integers(0, max(0, len(valid) - 1)), st.integers(0, 255)), max_size=4
    )

    def flipped(flips: list[tuple[int, int]]) -> bytes:
        content = bytearray(valid)
        for place, value in flips:
            content[place : place + 1] = bytes([value])
        return bytes(content)

    return st.one_of(
        st.binary(max_size=LARGEST),
        places.map(flipped),
        st.integers(0, len(valid)).map(lambda length: valid[:length]),
        st.binary(max_size=LARGEST).map(lambda more: valid + more),
    )


def sends_what_is_malformed(siege: Siege, times: int) -> None:
    """To each endpoint; what is a message by chance is answered as one, and harms nobody."""
    with siege.stranger() as stranger:
        enrolment = json.dumps(SiteKeys("x").request("A" * 43)).encode()
        targets = {path: (siege.site, valid.SerializeToString()) for path, valid in VALID.items()}
        targets |= {"/enrol": (stranger, enrolment), "/renew": (siege.site, b'{"csr": ""}')}
        for path, (client, valid) in targets.items():
            _besiege(siege, client, path, valid, times)


def _besiege(siege: Siege, client: FleetClient, path: str, valid: bytes, times: int) -> None:
    @settings(
        max_examples=times, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(content=changed(valid))
    def send(content: bytes) -> None:
        answer = siege.post(client, path, content)
        if answer.status_code != 200:
            siege.refused(answer)

    send()


def token_for(siege: Siege, name: str) -> str:
    """Of a fresh invitation."""
    with siege.home.locked():
        return Invitations(siege.home).invite(name, 1.0)[0]


def enrolled(siege: Siege, keys: SiteKeys, token: str) -> httpx.Response:
    """What the server says to who wants to join."""
    with siege.stranger() as stranger:
        answer: httpx.Response = stranger.http.post(f"{siege.base}/enrol", json=keys.request(token))
        return answer


ATTACKS: tuple[Callable[[Siege, int], None], ...] = (
    takes_what_is_not_its_own, comes_without_a_certificate, comes_with_its_own_certificate,
    comes_after_it_was_revoked, steals_a_token, replays, sends_what_is_malformed,
)  # fmt: skip
