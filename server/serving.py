"""The process that serves: the public port for sites, the internal one for this machine.

`python -m server.serving --home DIR`, started by `server.service`, which hands the key that seals
objects through standard input and keeps that open: when it closes, this process ends too.
What other commands write into the home is carried out here within a moment, without a restart.
"""

import argparse
import asyncio
import hashlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from server.admission import Admission
from server.authority import Authority, days_left
from server.fleet_gate import FleetGate
from server.home import LISTENING, SERVICE, ServerHome, Watched
from server.invitations import Invitations
from server.listener import Listener, bound, tls_context
from server.local_owner import opened_by_owner
from server.peers import Connections
from server.recorder import Recorder, recorder_of, unrecorded
from server.run_numbers import newest_run
from server.run_watch import RunWatch
from server.sites import Sites
from shared.durable import read_json, write_json
from shared.errors import StateError
from shared.loading import loading
from shared.log_lines import log_json
from shared.memory_use import give_back, hold_little, keep_for_good, let_go

with loading():
    from server.local_api import LocalApi
    from server.mailbox import Mailbox
    from server.public_api import PublicApi
    from server.superlink import PUBLIC_KEY_HEADER, SIGNATURE_HEADER, SuperLink, flaw_of_push

_LOGGER = logging.getLogger("murmura.server")
KEY_MARK = "object-key.mark"
_WATCH_S, _RUNS_EVERY, _SWEEP_EVERY, _LOOK_EVERY, _RENEW_EVERY = 0.2, 5, 25, 1500, 18000
_BIND_FOR_S = 10.0


class Serving:
    """One server's ports, as long as `run` lasts.

    Args:
        home: The server's.
        object_key: Seals what sites send, in memory alone.
        record: Where events are kept.
    """

    def __init__(self, home: ServerHome, object_key: bytes, record: Recorder = unrecorded) -> None:
        home.check()
        self._home, self._settings = home, home.settings()
        self._authority = Authority.open(home)
        self._sites = Sites(home)
        self._superlink = _superlink(home, object_key)
        self._connections = Connections(
            self._settings.limits.newcomers, self._settings.limits.connections_per_site
        )
        self._context = tls_context(home.pki / "server.key", home.pki / "ca.pem")
        self._certificate = Watched(home.pki / "server.key", self._take_certificate)
        self._reconciling = asyncio.Lock()
        admission = Admission(home, self._authority, self._sites, Invitations(home), record)
        headers = (PUBLIC_KEY_HEADER, SIGNATURE_HEADER)
        self._gate = FleetGate(self._settings.limits, headers, flaw_of_push)
        self._mailbox = Mailbox(self._superlink.delivery.addressed)
        self._public = PublicApi(
            self._superlink.way,
            admission,
            self._sites,
            self._gate,
            self._mailbox,
            self._settings.limits,
        )
        self._public.record, self._public.changed = record, self.reconcile
        self._public.nodes = self._superlink.delivery
        self._public.heard = self._superlink.life.heard
        self._runs = RunWatch(home, self._superlink, record)
        self._since = time.time()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        internal = Listener(LocalApi(self._superlink.way, self.status), admit=opened_by_owner)
        public = Listener(self._public, context=self._context, connections=self._connections)
        await self.reconcile()
        async with AsyncExitStack() as stack:
            stack.callback(self._superlink.close)
            await stack.enter_async_context(self._superlink.lifespan())
            before = read_json(self._home.state / LISTENING)
            own = await _bound_soon(
                ("127.0.0.1",), self._settings.internal_port, before.get("internal", 0)
            )
            stack.callback(own[0].close)
            ports = [port for _, port in before.get("public", [])]
            outside = await _bound_soon(
                self._settings.listen, self._settings.port, *(ports or [0])[:1]
            )
            accepting = internal.start(own) + public.start(outside)
            self._tell(own[0].getsockname()[1], [found.getsockname()[:2] for found in outside])
            working = [asyncio.create_task(self._watch()), asyncio.create_task(self._mailbox.run())]
            try:
                await _first(stop.wait(), *working, *accepting)
            finally:
                for task in working:
                    task.cancel()
                self._mailbox.close()
                await asyncio.gather(public.stop(), internal.stop())

    async def reconcile(self) -> None:
        """Flower's nodes are the enrolled sites, and whoever is no site has no connection."""
        async with self._reconciling:
            active = self._sites.active()
            gone = self._connections.names() - active.keys()
            for name in gone:
                closed = self._connections.close_site(name)
                self._gate.forget(name)
                _LOGGER.info("closed %d connections of %r", closed, name)
            await asyncio.to_thread(
                self._match_nodes, {site.node_key: name for name, site in active.items()}
            )

    def _match_nodes(self, wanted: Mapping[str, str]) -> None:
        nodes = self._superlink.nodes()
        for key in nodes.keys() - wanted.keys():
            self._superlink.unregister(nodes[key])
            _LOGGER.info("node of %r is out", nodes[key].name)
        for key in wanted.keys() - nodes.keys():
            try:
                self._superlink.register(wanted[key], key)
            except ValueError:
                _LOGGER.error("the node key of %r was used before and was retired", wanted[key])

    async def status(self) -> dict[str, Any]:
        """What the server tells of itself."""
        nodes = await asyncio.to_thread(self._superlink.nodes)
        sites = [
            {
                "name": name,
                "state": site.state,
                "expires": site.expires,
                "online": site.node_key in nodes and nodes[site.node_key].online,
                # As text: JSON's readers round numbers of 64 bits.
                "node": str(nodes[site.node_key].node_id) if site.node_key in nodes else "",
            }
            for name, site in sorted(self._sites.all().items())
        ]
        return {
            "sites": sites,
            "runs": await asyncio.to_thread(self._superlink.runs),
            "connections": self._connections.count(),
            "refused": dict(self._public.refused),
            "traffic": dict(self._public.traffic),
            "restarts": int(read_json(self._home.state / SERVICE).get("restarts", 0)),
            "newest_run": await asyncio.to_thread(newest_run, self._home.runs),
            "since": self._since,
            "certificate_days": days_left(self._authority.server_certificate()),
        }

    async def _watch(self) -> None:
        """Carry out what other processes wrote; sweep; renew the server's certificate in time."""
        before: Mapping[str, Any] = self._sites.all()
        keep_for_good()
        for tick in range(sys.maxsize):
            await asyncio.sleep(_WATCH_S)
            self._certificate.value()
            if before is not (before := self._sites.all()):
                await self.reconcile()
            if tick % _RUNS_EVERY == 0:
                await asyncio.to_thread(self._look_at_runs)
            if tick % _SWEEP_EVERY == 0:
                await asyncio.to_thread(self._superlink.life.write)
                await asyncio.to_thread(self._superlink.sweep)
                give_back()
            if tick % _LOOK_EVERY == 0:
                let_go()  # all wait for it: seldom, and only through what came after the beginning
            if tick % _RENEW_EVERY == 0 and self._authority.server_is_due():
                with self._home.locked():
                    issued = self._authority.renew_server(self._settings.names)
                    self._public.record(
                        "renewed", serial=issued.serial, expires=int(issued.expires)
                    )

    def _look_at_runs(self) -> None:
        try:
            self._runs.look()
        except StateError as error:
            _LOGGER.error("the audit log lacks a run: %s", error)

    def _take_certificate(self, path: Path) -> None:
        # Connections under way keep theirs; the next ones get the new certificate.
        self._context.load_cert_chain(path)

    def _tell(self, internal: int, public: Sequence[tuple[str, int]]) -> None:
        content = {"pid": os.getpid(), "internal": internal, "public": [list(p) for p in public]}
        write_json(self._home.state / LISTENING, content)
        _LOGGER.info("serving sites at %s, this machine at 127.0.0.1:%d", public, internal)


def _superlink(home: ServerHome, object_key: bytes) -> SuperLink:
    link = SuperLink(home.state / "state.db", home.exec_secret.read_bytes(), object_key)
    mark = {"key": hashlib.sha256(object_key).hexdigest()}
    path = home.state / KEY_MARK
    if not path.exists() or path.read_text().strip() != mark["key"]:
        # What was sealed under a key that is gone can be read by nobody: it is no loss more.
        link.forget_objects()
        path.write_text(mark["key"])
    return link


async def _bound_soon(addresses: Sequence[str], port: int, before: int) -> list[Any]:
    """Listening sockets; a port that the process before this one still holds is waited for.

    Where any port will do, it is that of before: whoever was told it finds the server again.
    """
    deadline = time.monotonic() + _BIND_FOR_S
    while True:
        try:
            return bound(addresses, port or before)
        except OSError:
            if time.monotonic() > deadline:
                if port:
                    raise
                return bound(addresses, 0)
            await asyncio.sleep(0.2)


async def _first(*awaited: Any) -> None:
    tasks = [asyncio.ensure_future(entry) for entry in awaited]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Not by Python's own reader: its lock, held here, would abort the end of the process.
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(stop.set)


async def _serve(home: ServerHome, object_key: bytes) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    threading.Thread(target=_stop_at_end_of_input, args=(loop, stop), daemon=True).start()
    await Serving(home, object_key, recorder_of(home)).run(stop)


def plain_logs() -> None:
    """One form for all lines, Flower's too, and none for every request that went well."""
    log_json()
    flower = logging.getLogger("flwr")
    flower.handlers.clear()
    flower.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a home until a signal comes or standard input ends."""
    parser = argparse.ArgumentParser(description="Serves one Murmura home; see server.service.")
    parser.add_argument("--home", type=Path, required=True)
    given = parser.parse_args(arguments)
    os.umask(0o077)
    hold_little()
    plain_logs()
    object_key = bytes.fromhex(sys.stdin.readline())
    asyncio.run(_serve(ServerHome(given.home), object_key))
    return 0


if __name__ == "__main__":
    sys.exit(main())
