"""The guard as a service: alive, renewed, stopped, and saying how it is."""

import gc
import json
import logging
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flwr.app import RecordDict

from client import service as service_module
from client.certificates import read_certificate
from client.home import SiteHome
from client.in_flight import InFlight
from client.letters import Letter, Received
from client.renewal import renew_if_due
from client.service import Service, log_to
from client.site_keys import certificate_request
from shared.durable import read_json, write_private
from shared.errors import StateError
from tests.client.authorities import TestAuthority
from tests.client.fleet_server import NODE, FleetServer, instruction_message
from tests.client.made_sites import made_home
from tests.client.site_server import listening

AUTHORITY = TestAuthority.new()


class BothServer(FleetServer):
    """Also renews."""

    def handle(self, path: str, content: bytes, shown: str | None) -> tuple[int, bytes]:
        """As a server does."""
        if path == "/renew":
            csr = json.loads(content)["csr"]
            self.asked.append((path, shown))
            return 200, json.dumps({"certificate": self.authority.signed(csr)}).encode()
        return super().handle(path, content, shown)


@contextmanager
def running(
    folder: Path, server: FleetServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, SiteHome]]:
    """A service against `server`, in a thread, whose second thread does not dawdle."""
    for name, value in (("_AGAIN_S", 0.05), ("_ALIVE_S", 0.1), ("_LOOK_S", 0.1)):
        monkeypatch.setattr(service_module, name, value)
    with listening(folder, server):
        home = made_home(folder / "home", AUTHORITY, address=server.address)
        service = Service(home)
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            yield service, home
        finally:
            service.stop()
            thread.join(30)
        assert not thread.is_alive()


def until(holds: Any) -> None:
    """Wait for something that comes soon."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def names(server: FleetServer) -> list[str]:
    """What the server was asked."""
    return [name for name, _ in server.asked]


def test_it_connects_stays_alive_and_goes_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so in a file, which knows its process and node."""
    server, forgotten = BothServer(AUTHORITY), list[bool]()
    monkeypatch.setattr(service_module, "forget_signatures", lambda: forgotten.append(True))
    with running(tmp_path, server, monkeypatch) as (_, home):
        until(lambda: names(server).count("send-node-heartbeat") >= 2 and forgotten)
        said = read_json(home.status)
        assert (said["state"], said["node"]) == ("connected", NODE)
        assert home.running() == said["pid"]
        assert read_json(home.state / "node.json") == {"node": NODE}
        with pytest.raises(StateError, match="runs from"):
            Service(home).run()
    assert names(server)[0] == "activate-node"
    assert names(server)[-1] == "deactivate-node"
    assert read_json(home.status)["state"] == "stopped"


def test_what_refers_to_itself_is_let_go_while_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when there is much of it: a guard's memory would grow for days."""

    class Ring:
        def __init__(self) -> None:
            self.itself = self

    before = gc.get_threshold()
    server = BothServer(AUTHORITY)
    with running(tmp_path, server, monkeypatch):
        until(lambda: "send-node-heartbeat" in names(server))
        gc.set_threshold(0)  # Python by itself never looks
        try:
            gone = weakref.ref(Ring())
            until(lambda: gone() is None)
        finally:
            gc.set_threshold(*before)


def test_it_does_not_go_offline_with_an_answer_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may wait for its next start."""
    server = BothServer(AUTHORITY)
    server.refusals["get-run"] = [(503, b"")] * 1000
    with running(tmp_path, server, monkeypatch) as (_, home):
        server.give(instruction_message(RecordDict()))
        until(lambda: list(home.state.glob("message-*")))
        until(lambda: read_json(home.status).get("state") == "not connected")
    assert "deactivate-node" not in names(server)
    letter = Letter.of(instruction_message(RecordDict()))
    InFlight(home.state).done(next(InFlight(home.state).waiting())[0])
    assert not list(InFlight(home.state).waiting())
    assert isinstance(Received(letter.message, letter.tree), Received)


def test_a_certificate_is_renewed_without_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And shown from then on."""
    server = BothServer(AUTHORITY)
    aged = threading.Event()
    first = renew_if_due

    def renew(home: SiteHome, *rest: Any) -> Any:
        if not aged.is_set():
            aged.set()
            csr = certificate_request(home, "site-000000")
            write_private(home.certificate, AUTHORITY.signed(csr, days=1.0, age=60.0).encode())
        return first(home, *rest)

    monkeypatch.setattr(service_module, "renew_if_due", renew)
    with running(tmp_path, server, monkeypatch) as (_, home):
        until(lambda: "/renew" in names(server))
        until(lambda: read_certificate(home.certificate).expires - time.time() > 80 * 86400)
        before = len(server.asked)
        until(lambda: "send-node-heartbeat" in names(server)[before:])


def test_a_renewal_that_fails_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again in an hour; messages go on."""

    def fails(*_: object) -> None:
        raise StateError("no certificate")

    monkeypatch.setattr(service_module, "renew_if_due", fails)
    server = BothServer(AUTHORITY)
    with running(tmp_path, server, monkeypatch):
        until(lambda: names(server).count("pull-messages") > 3)


def test_a_server_that_refuses_the_site_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revoked one, say."""
    server = BothServer(AUTHORITY)
    server.refusals["activate-node"] = [(403, b"{}")] * 1000
    with running(tmp_path, server, monkeypatch) as (_, home):
        until(lambda: read_json(home.status).get("state") == "refused by the server")


def test_the_log_is_its_owners_alone(tmp_path: Path) -> None:
    """Paths and errors stand in it."""
    before, logger = os.umask(0), logging.getLogger("murmura")
    handlers, level = list(logger.handlers), logger.level
    try:
        log_to(tmp_path)
        logging.getLogger("murmura.guard").warning("a word")
    finally:
        os.umask(before)
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
    assert "a word" in (tmp_path / "guard.log").read_text()
    assert stat.S_IMODE((tmp_path / "guard.log").stat().st_mode) == 0o600
