"""The listener: whom the handshake lets through, and that nobody keeps others out."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server import listener as listening
from server.authority import Authority
from server.founding import found
from server.home import ServerHome
from server.listener import Listener, bound
from server.settings import Limits
from tests.server.served import SETTINGS, Served, served
from tests.server.site_client import (
    SiteKeys,
    context_for,
    pem_of,
    request_for,
    self_signed,
    signed_certificate,
)

LIMITS = Limits(newcomers=8, connections_per_site=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of this file; strangers have few connections."""
    with served(tmp_path_factory.mktemp("served"), LIMITS) as running:
        yield running


def refused(server: Served, certificate: str, key: ec.EllipticCurvePrivateKey) -> bool:
    """Whether the handshake with this certificate fails."""
    context = context_for(server.home.pki / "ca.pem", server.folder, certificate, pem_of(key))
    with httpx.Client(verify=context, trust_env=False) as client:
        try:
            answer = client.get(f"{server.base}/health")
        except httpx.TransportError:
            return True
    return answer.status_code != 200


def test_a_certificate_that_nobody_vouches_for_is_refused(server: Served) -> None:
    """Even for what a stranger may ask."""
    assert refused(server, *self_signed("site-a"))
    assert not refused(server, server.enrol(keys := SiteKeys("site-a")), keys.key)


def test_a_certificate_of_another_authority_is_refused(server: Served, tmp_path: Path) -> None:
    """Also where it bears the same names, authority's and site's."""
    other = ServerHome(tmp_path / "other")
    found(other, SETTINGS)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = Authority.open(other).issue_site("site-a", request_for("site-a", key))
    assert refused(server, issued.pem, key)
    name = "Murmura authority of localhost"
    forger = ec.generate_private_key(ec.SECP256R1())
    assert refused(server, signed_certificate("site-a", key, name, forger), key)


def authority_key(server: Served) -> Any:
    """The authority's own key, as the server has it."""
    return load_pem_private_key((server.home.pki / "ca.key").read_bytes(), None)


@pytest.mark.parametrize("days", [(-10.0, -1.0), (1.0, 10.0)])
def test_a_certificate_of_another_time_is_refused(
    server: Served, days: tuple[float, float]
) -> None:
    """Expired, or not valid yet, although the authority did sign it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = "Murmura authority of localhost"
    certificate = signed_certificate("site-a", key, name, authority_key(server), days)
    assert refused(server, certificate, key)


def test_a_certificate_that_is_signed_and_not_listed_opens_nothing(server: Served) -> None:
    """A serial that the server did not give out, for the name of a site that it has."""
    keys = SiteKeys("listed")
    server.enrol(keys)
    key = ec.generate_private_key(ec.SECP256R1())
    name = "Murmura authority of localhost"
    certificate = signed_certificate("listed", key, name, authority_key(server))
    with server.site(SiteKeys("listed", key=key), certificate) as site:
        answer = site.http.get(f"{server.base}/roster")
        assert (answer.status_code, answer.json()["error"]) == (403, "certificate_refused")


def test_the_servers_own_certificate_is_no_sites(server: Served) -> None:
    """It identifies a server and no client."""
    context = ssl.create_default_context(cafile=str(server.home.pki / "ca.pem"))
    context.load_cert_chain(server.home.pki / "server.key")
    with (
        httpx.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get(f"{server.base}/health")


def open_silent(server: Served) -> socket.socket:
    """A connection that never says a word."""
    silent = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    silent.settimeout(20)
    return silent


def test_strangers_who_say_nothing_keep_nobody_out(server: Served) -> None:
    """Their oldest connections give way; sites, and other strangers, are answered."""
    keys = SiteKeys("patient")
    with ExitStack() as stack, server.site(keys) as site:
        assert site.http.get(f"{server.base}/roster").status_code == 200
        silent = [stack.enter_context(open_silent(server)) for _ in range(40)]
        with server.stranger() as stranger:
            assert stranger.http.get(f"{server.base}/health").status_code == 200
        assert site.http.get(f"{server.base}/roster").status_code == 200
        count = server.serving._connections.count()
        assert count["newcomers"] <= LIMITS.newcomers
        with suppress(ConnectionResetError):
            assert silent[0].recv(1) == b""  # closed by the server


def test_a_site_has_so_many_connections(server: Served) -> None:
    """Its oldest gives way; the newest is answered."""
    keys = SiteKeys("many")
    certificate = server.enrol(keys)
    with ExitStack() as stack:
        for _ in range(6):
            site = stack.enter_context(server.site(keys, certificate))
            assert site.http.get(f"{server.base}/roster").status_code == 200
        assert server.serving._connections.count()["sites"] <= LIMITS.connections_per_site + 3


def test_a_request_under_way_outlives_its_sites_other_connections(server: Served) -> None:
    """A site that opens more than it may loses what it does not use, and no answer."""
    keys = SiteKeys("busy")
    certificate = server.enrol(keys)
    context = context_for(server.home.pki / "ca.pem", server.folder, certificate, pem_of(keys.key))
    with (
        socket.create_connection(("127.0.0.1", server.port), 30.0) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as slow,
        ExitStack() as stack,
    ):
        slow.sendall(b"POST /renew HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{")
        own, deadline = server.serving._connections._by_site, time.monotonic() + 30.0
        while not any(busy() for _, busy in own.get("busy", {}).values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(3 * LIMITS.connections_per_site):
            site = stack.enter_context(server.site(keys, certificate))
            assert site.http.get(f"{server.base}/roster").status_code == 200
        slow.sendall(b"}")
        assert slow.recv(1 << 12).startswith(b"HTTP/1.1 ")


def test_a_stranger_does_not_stay(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one who never ends a handshake; both after their time."""
    monkeypatch.setattr(listening, "NEWCOMER_S", 0.2)
    monkeypatch.setattr(listening, "HANDSHAKE_S", 0.2)
    context = context_for(server.home.pki / "ca.pem", server.folder)
    with open_silent(server) as plain, suppress(ConnectionResetError):
        assert plain.recv(1) == b""
    with (
        open_silent(server) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ")
        with suppress(ConnectionResetError, ssl.SSLError):
            assert wrapped.recv(1000) == b""


def test_a_head_that_is_too_long_is_refused(server: Served) -> None:
    """Before it takes much room: longer than what is read at once, which may be whole."""
    with server.stranger() as stranger:
        try:
            answer = stranger.http.get(
                f"{server.base}/health", headers={f"x-{n}": "y" * 4000 for n in range(250)}
            )
        except httpx.TransportError:
            return
        assert answer.status_code in {400, 431}


def test_a_port_is_opened_on_all_addresses_or_on_none() -> None:
    """One number for IPv4 and IPv6; a number that is taken is an error, and leaves none open."""
    both = bound(("127.0.0.1", "::1"), 0)
    ports = {entry.getsockname()[1] for entry in both}
    assert len(both) == 2
    assert len(ports) == 1
    with pytest.raises(OSError, match="in use"):
        bound(("127.0.0.2", "127.0.0.1"), ports.pop())
    for entry in both:
        entry.close()


def test_a_family_that_the_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one serves."""
    real = socket.socket

    def without_ipv6(family: int, *given: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported")
        return real(family, *given)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    found_sockets = bound(("127.0.0.1", "::1"), 0)
    assert [entry.getsockname()[0] for entry in found_sockets] == ["127.0.0.1"]
    found_sockets[0].close()


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _slow(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.sleep(60)


def _same(answer: bool, _accepted: socket.socket) -> bool:
    return answer


def asked(port: int) -> bytes:
    """What a listener answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return peer.recv(100)


def test_a_connection_that_is_not_admitted_is_closed_unread() -> None:
    """As another account's is on the internal port."""

    async def played() -> list[bytes]:
        answers = []
        for admit in (True, False):
            (own,) = bound(("127.0.0.1",), 0)
            listener = Listener(_answer, admit=partial(_same, admit))
            listener.start([own])
            with suppress(ConnectionResetError):
                answers.append(await asyncio.to_thread(asked, own.getsockname()[1]))
            await listener.stop()
        return answers

    answers = asyncio.run(played())
    assert answers[0].startswith(b"HTTP/1.1 204")
    assert b"".join(answers[1:]) == b""


def test_a_listener_that_stops_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that does not end is cut off."""
    monkeypatch.setattr(listening, "STOP_S", 0.05)

    async def played() -> None:
        (own,) = bound(("127.0.0.1",), 0)
        listener = Listener(_slow)
        listener.start([own])
        asking = asyncio.create_task(asyncio.to_thread(asked, own.getsockname()[1]))
        while not listener._state.tasks:
            await asyncio.sleep(0.01)
        await listener.stop()
        with suppress(ConnectionResetError):
            assert not (await asking).startswith(b"HTTP/1.1 2")

    asyncio.run(asyncio.wait_for(played(), 20))
