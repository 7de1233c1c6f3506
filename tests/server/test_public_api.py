"""The public port over real sockets: whom it lets in, and to what."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fleet_gate import FLEET_PATHS
from server.limits import Allowance
from shared.audit_events import check
from shared.errors import StateError
from tests.server.flower_run import (
    activate,
)
from tests.server.honest_rounds import error_of, plays_a_round
from tests.server.served import Served, served
from tests.server.site_client import (
    PROTOBUF,
    FleetClient,
    SiteKeys,
    client_of,
    context_for,
    pem_of,
    request_for,
)

FOREIGN = (
    "/docs", "/openapi.json", "/redoc", "/", "/metrics", "/murmura/status",
    "/v1/control/start-run", "/v1/control/list-runs", "/v1/control/register-node",
    "/v1/control/stream-logs", "/v1/runtime/acquire-task", "/v1/runtime/push-messages",
    "/v1/runtime/pull-object", "/v1/fleet/register-node", "/v1/fleet/unregister-node",
    "/v1/fleet/../control/list-runs", "/v1/fleet//pull-messages", "/v1/fleet/pull-messages/",
    "/v1/fleet%2Fpull-messages%2F", "/V1/fleet/pull-messages", "/enrol/", "/responses",
)  # fmt: skip


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


def test_a_stranger_may_ask_for_health_and_to_enrol(server: Served) -> None:
    """Over IPv4 and IPv6."""
    with server.stranger() as stranger:
        for host in ("127.0.0.1", "[::1]", "localhost"):
            answer = stranger.http.get(f"https://{host}:{server.port}/health")
            told = answer.json()
            assert (answer.status_code, told.pop("status")) == (200, "ok")
            assert abs(told.pop("time") - time.time()) < 60
            assert told == {name: metadata.version(name) for name in ("murmura", "flwr")}
        assert error_of(stranger.http.post(f"{server.base}/enrol", content=b"{")) == (
            400,
            "request_invalid",
        )


@pytest.mark.parametrize("path", [*FOREIGN, *FLEET_PATHS, "/renew", "/roster"])
def test_nothing_else_is_there_for_a_stranger(server: Served, path: str) -> None:
    """Whatever the method; not even that it exists."""
    with server.stranger() as stranger:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = stranger.http.request(method, server.base + path)
            assert (answer.status_code, answer.content) == (404, b""), (method, path)


@pytest.mark.parametrize("path", FOREIGN)
def test_a_site_sees_nothing_of_flowers_other_interfaces(
    server: Served, honest: FleetClient, path: str
) -> None:
    """Neither may it register nodes."""
    headers = {"content-type": PROTOBUF} | honest.keys.headers()
    for method in ("GET", "POST"):
        answer = honest.http.request(method, server.base + path, headers=headers)
        assert (answer.status_code, answer.content) == (404, b""), (method, path)


@pytest.mark.no_cover
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=300), st.text().map(lambda text: json.dumps(text).encode())
    )
)
def test_no_malformed_enrolment_does_harm(
    server: Served, honest: FleetClient, content: bytes
) -> None:
    """Over the wire; who shows a certificate is no better off."""
    server.serving._public._by_address._known.clear()
    answer = honest.http.post(f"{server.base}/enrol", content=content)
    assert error_of(answer) == (400, "request_invalid")


def test_tokens_are_refused_by_their_codes(server: Served) -> None:
    """Over the wire: unknown, used, expired, for another name; and each is counted."""
    server.serving._public._by_address._known.clear()
    used = server.invite("used")
    expired = server.invite("late", hours=1e-7)
    time.sleep(0.01)
    with server.stranger() as stranger:

        def enrol(keys: SiteKeys, token: str) -> httpx.Response:
            answer: httpx.Response = stranger.http.post(
                f"{server.base}/enrol", json=keys.request(token)
            )
            return answer

        assert enrol(SiteKeys("used"), used).status_code == 200
        assert error_of(enrol(SiteKeys("used"), used)) == (403, "token_used")
        assert error_of(enrol(SiteKeys("late"), expired)) == (403, "token_expired")
        assert error_of(enrol(SiteKeys("b"), server.invite("a"))) == (403, "name_mismatch")
        assert error_of(enrol(SiteKeys("a"), "stolen")) == (403, "token_unknown")
        recorded = server.serving._public.record

        def fails(event: str, /, **detail: str | int) -> None:
            raise StateError(f"{event} {len(detail)}")

        try:
            server.serving._public.record = fails
            assert error_of(enrol(SiteKeys("a"), "stolen")) == (403, "token_unknown")
        finally:
            server.serving._public.record = recorded
    refused = [detail["reason"] for event, detail in server.events if event == "refused"]
    assert {"token_used", "token_expired", "name_mismatch", "token_unknown"} <= set(refused)
    for event, detail in server.events:
        check(event, detail)
        if event == "refused" and "site" not in detail:
            assert detail["address"] in {"127.0.0.1", "::1"}


def test_a_stranger_cannot_ask_to_enrol_for_ever(server: Served) -> None:
    """Of one address so many; tokens cannot be tried in earnest."""
    server.serving._public._by_address._known["127.0.0.1"] = Allowance(0.0, 2.0)
    with server.stranger() as stranger:
        codes = [
            error_of(stranger.http.post(f"{server.base}/enrol", content=b"{}"))[1] for _ in range(4)
        ]
    assert codes == ["request_invalid"] * 2 + ["too_many_requests"] * 2
    server.serving._public._by_address._known.clear()


def test_a_site_renews_its_certificate_without_a_stop(server: Served) -> None:
    """The old one counts on, for requests under way; the new one counts at once."""
    keys = SiteKeys("renewing")
    fresh = SiteKeys("renewing", node=keys.node, identity=keys.identity)
    with server.site(keys) as site:
        answer = site.http.post(
            f"{server.base}/renew", json={"csr": request_for("renewing", fresh.key)}
        )
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"certificate"}
        plays_a_round(server, site)
        other = site.http.post(
            f"{server.base}/renew", json={"csr": request_for("honest", fresh.key)}
        )
        assert error_of(other) == (400, "csr_invalid")
    with server.site(fresh, answer.json()["certificate"]) as site:
        plays_a_round(server, site)


def test_the_roster_names_who_takes_part(server: Served, honest: FleetClient) -> None:
    """Signed, as a site keeps it."""
    answer = honest.http.get(f"{server.base}/roster").json()
    assert set(answer) == {"roster", "signature"}
    assert set(answer["roster"]["clients"]) == set(server.serving._sites.active())


def test_a_revoked_site_is_out_at_once_and_disturbs_nobody(
    server: Served, honest: FleetClient
) -> None:
    """Its connection is closed, its certificate refused, its node gone; others play on."""
    keys = SiteKeys("revoked")
    certificate = server.enrol(keys)
    with server.site(keys, certificate) as site:
        activate(site)
        server.revoke("revoked")
        with suppress(httpx.TransportError):  # if its connection was closed already
            assert site.http.get(f"{server.base}/roster").status_code == 403
    context = context_for(server.home.pki / "ca.pem", server.folder, certificate, pem_of(keys.key))
    with client_of(server.base, context, keys) as site:
        assert error_of(site.http.get(f"{server.base}/roster")) == (403, "certificate_refused")
        for path in FLEET_PATHS:
            headers = {"content-type": PROTOBUF} | keys.headers()
            answer = site.http.post(server.base + path, headers=headers)
            assert error_of(answer) == (403, "certificate_refused")
        assert site.http.get(f"{server.base}/health").status_code == 200
    deadline = time.monotonic() + 10
    while keys.node_key in server.serving._superlink.nodes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert keys.node_key not in server.serving._superlink.nodes()
    plays_a_round(server, honest)


def test_a_request_that_is_no_http_is_answered_and_closed(server: Served) -> None:
    """As one of HTTP/2, or of another protocol altogether."""
    context = context_for(server.home.pki / "ca.pem", server.folder)
    for content in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\xff" * 50, b"GET\r\n\r\n"):
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(content)
            wrapped.settimeout(10)
            assert wrapped.recv(1000).startswith((b"HTTP/1.1 4", b""))


def test_tls_is_tls_13(server: Served) -> None:
    """And no session is resumed: each connection proves its key."""
    context = context_for(server.home.pki / "ca.pem", server.folder)
    with (
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == "TLSv1.3"
        wrapped.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        wrapped.recv(1000)
        session = wrapped.session
        assert session is None or not session.has_ticket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
