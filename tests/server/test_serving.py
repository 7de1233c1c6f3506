"""A server that goes on: what others write is carried out, and a restart keeps what counts."""

import gc
import io
import os
import socket
import ssl
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from server.authority import Authority
from server.founding import found
from server.home import LISTENING, ServerHome
from server.serving import KEY_MARK, main
from shared.durable import read_json
from tests.server.flower_run import PlayedRun, activate, pulled, pushed, record_of, reply_to
from tests.server.served import SETTINGS, Served, served, serving_in_a_thread
from tests.server.site_client import SiteKeys, client_of, context_for, pem_of

ROOT = Path(__file__).parents[2]


def becomes_true(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether it does, before long."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def shown_serial(server: Served) -> int:
    """Number of the certificate that a new connection is shown."""
    from cryptography import x509

    context = context_for(server.home.pki / "ca.pem", server.folder)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_new_certificate_is_taken_without_a_stop(tmp_path: Path) -> None:
    """Connections under way keep theirs."""
    with served(tmp_path) as server, server.site(SiteKeys("site-a")) as site:
        before = shown_serial(server)
        assert site.http.get(f"{server.base}/roster").status_code == 200
        with server.home.locked():
            Authority.open(server.home).renew_server(("localhost", "new.example.org"))
        assert becomes_true(lambda: shown_serial(server) != before)
        assert site.http.get(f"{server.base}/roster").status_code == 200


def test_what_refers_to_itself_is_let_go_while_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when there is much of it: a server's memory would grow for hours."""

    class Ring:
        def __init__(self) -> None:
            self.itself = self

    monkeypatch.setattr("server.serving._LOOK_EVERY", 1)
    before = gc.get_threshold()
    with served(tmp_path) as server, server.site(SiteKeys("site-a")):
        gc.set_threshold(0)  # Python by itself never looks
        try:
            gone = weakref.ref(Ring())
            assert becomes_true(lambda: gone() is None)
        finally:
            gc.set_threshold(*before)


def test_a_certificate_that_ends_soon_is_renewed_by_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to think of it."""
    home = ServerHome(tmp_path / "home")
    found(home, SETTINGS)
    before = Authority.open(home).server_certificate().serial_number
    monkeypatch.setattr("server.authority.RENEW_BEFORE_DAYS", 398)
    with serving_in_a_thread(home):
        assert becomes_true(
            lambda: Authority.open(home).server_certificate().serial_number != before
        )


def test_the_status_tells_sites_runs_and_refusals(tmp_path: Path) -> None:
    """On loopback alone."""
    with served(tmp_path) as server, server.site(SiteKeys("site-a")) as site:
        activate(site)
        server.enrol(SiteKeys("site-b"))
        server.revoke("site-b")
        PlayedRun(server.serving._superlink)
        with server.stranger() as stranger:
            stranger.http.post(f"{server.base}/enrol", content=b"{")
        status = httpx.get(f"{server.internal}/murmura/status", trust_env=False).json()
        assert [(entry["name"], entry["state"], entry["online"]) for entry in status["sites"]] == [
            ("site-a", "active", True),
            ("site-b", "revoked", False),
        ]
        assert status["sites"][0]["node"].isdigit()
        assert status["runs"][0]["status"] == "running"
        assert status["refused"] == {"request_invalid": 1}
        assert status["connections"]["sites"] == 1
        assert status["certificate_days"] > 300
        text = httpx.get(f"{server.internal}/metrics", trust_env=False).text
        assert "murmura_sites_online 1\n" in text


@pytest.mark.no_cover
def test_a_restart_keeps_sites_and_what_waits_for_them(tmp_path: Path) -> None:
    """Under the same key, as where the process died and its service lives on."""
    home, key, keys = ServerHome(tmp_path / "home"), os.urandom(32), SiteKeys("site-a")
    found(home, SETTINGS)
    with serving_in_a_thread(home, key) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        certificate = server.enrol(keys)
        with server.site(keys, certificate) as site:
            run = PlayedRun(serving._superlink)
            asked = run.ask(activate(site), record_of(np.arange(5, dtype=np.float32)))
    with serving_in_a_thread(home, key) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        with server.site(keys, certificate) as site:
            node = activate(site)
            message = pulled(site, node)
            assert message is not None
            reply = reply_to(message, message.content)
            pushed(site, node, reply)
            run.state = serving._superlink._state
            assert run.answer(asked)
    # By the hash that the site's own log has of it.
    assert ("arrived", {
        "site": "site-a", "kind": "train", "run": str(run.run_id), "sha256": reply.object_id,
    }) in events  # fmt: skip


@pytest.mark.no_cover
def test_under_a_new_key_what_was_sealed_is_dropped_and_sites_stay(tmp_path: Path) -> None:
    """As after the whole service was started anew: nobody could open it."""
    home, keys = ServerHome(tmp_path / "home"), SiteKeys("site-a")
    found(home, SETTINGS)
    with serving_in_a_thread(home) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        certificate = server.enrol(keys)
        with server.site(keys, certificate) as site:
            run = PlayedRun(serving._superlink)
            run.ask(activate(site), record_of(np.arange(5, dtype=np.float32)))
    mark = (home.state / KEY_MARK).read_text()
    with serving_in_a_thread(home) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        assert (home.state / KEY_MARK).read_text() != mark
        with server.site(keys, certificate) as site:
            assert pulled(site, activate(site)) is None
        assert len(serving._superlink._store) == 0


def test_a_site_that_was_revoked_while_nothing_ran_is_out_at_the_start(tmp_path: Path) -> None:
    """Its node too."""
    home, keys = ServerHome(tmp_path / "home"), SiteKeys("site-a")
    found(home, SETTINGS)
    with serving_in_a_thread(home) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        certificate = server.enrol(keys)
    server.revoke("site-a")
    with serving_in_a_thread(home) as (serving, events):
        server = Served(home, tmp_path, serving, events)
        assert serving._superlink.nodes() == {}
        context = context_for(home.pki / "ca.pem", tmp_path, certificate, pem_of(keys.key))
        with client_of(server.base, context) as site:
            assert site.http.get(f"{server.base}/roster").status_code == 403


def test_a_node_that_is_no_sites_does_not_stay(tmp_path: Path) -> None:
    """Whoever registered it on this machine: sites come by invitation alone."""
    with served(tmp_path) as server:
        stray = SiteKeys("stray")
        server.serving._superlink.register("stray", stray.node_key)
        keys = SiteKeys("site-a")
        server.enrol(keys)
        assert set(server.serving._superlink.nodes()) == {keys.node_key}


def test_a_key_that_flower_has_retired_is_said_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its site cannot take part; the others can."""
    with served(tmp_path) as server:
        retired = SiteKeys("retired")
        link = server.serving._superlink
        link.register("x", retired.node_key)
        link.unregister(link.nodes()[retired.node_key])
        server.enrol(retired)
        server.enrol(SiteKeys("site-a"))
        assert len(link.nodes()) == 1
    assert "was retired" in caplog.text


def test_a_port_that_is_taken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some time, in which the process before may let it go."""
    from dataclasses import replace

    monkeypatch.setattr("server.serving._BIND_FOR_S", 0.3)
    home = ServerHome(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found(home, replace(SETTINGS, port=taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"), serving_in_a_thread(home):
            pass


@pytest.mark.integration
@pytest.mark.slow
def test_the_process_ends_with_its_input_and_by_a_signal(tmp_path: Path) -> None:
    """So that it does not outlive its service; within seconds, and with status 0."""
    home = ServerHome(tmp_path / "home")
    found(home, SETTINGS)
    for end in ("input", "signal"):
        (home.state / LISTENING).unlink(missing_ok=True)
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "server.serving", "--home", str(home.root)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        process.stdin.write(bytes(32).hex().encode() + b"\n")
        process.stdin.flush()
        assert becomes_true((home.state / LISTENING).exists, 60)
        assert read_json(home.state / LISTENING)["pid"] == process.pid
        if end == "input":
            process.stdin.close()
        else:
            process.terminate()
        assert process.wait(20) == 0
        process.stdin.close()


def test_without_a_key_nothing_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sealed under a known key would seal nothing."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("not hexadecimal\n"))
    before = os.umask(0o077)
    with pytest.raises(ValueError, match="hex"):
        main(["--home", str(tmp_path)])
    os.umask(before)


def test_tls_settings_hold_for_new_certificates_too(tmp_path: Path) -> None:
    """1.3 and nothing less."""
    with served(tmp_path) as server:
        assert server.serving._context.minimum_version == ssl.TLSVersion.TLSv1_3
        assert server.serving._context.verify_mode == ssl.CERT_OPTIONAL


def test_where_any_port_will_do_it_is_that_of_before() -> None:
    """Sites were told it; where it is taken by now, another will do."""
    import asyncio

    from server.listener import bound
    from server.serving import _bound_soon

    async def played(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("server.serving._BIND_FOR_S", 0.0)
        (first,) = bound(("127.0.0.1",), 0)
        port = first.getsockname()[1]
        (other,) = await _bound_soon(("127.0.0.1",), 0, port)
        assert other.getsockname()[1] != port
        first.close()
        other.close()
        (again,) = await _bound_soon(("127.0.0.1",), 0, port)
        assert again.getsockname()[1] == port
        again.close()

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(played(patch))
