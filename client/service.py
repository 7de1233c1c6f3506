"""The guard as a service: one process for each home, which stays until it is told to stop.

A second thread tends to what must go on while the first computes: signs of life to the server,
renewal of the certificate before it ends, rest for idle workers, and the file that says how it is.
"""

import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from client.certificates import read_certificate
from client.fleet import Fleet
from client.guard import Events, Guard, local_time
from client.handling import Handling
from client.home import SiteHome
from client.in_flight import InFlight
from client.metrics import SiteMetrics
from client.recorder import Recorder, unrecorded
from client.renewal import renew_if_due
from client.site_keys import read_curve_key
from client.site_settings import SiteSettings
from client.tls import site_context
from client.workers import Workers
from shared.durable import read_json, write_json
from shared.errors import FederationError, ProtocolError
from shared.log_lines import JsonLines
from shared.memory_use import give_back, hold_little, keep_for_good, let_go
from shared.secagg.keys import forget_signatures

_LOGGER = logging.getLogger("murmura.guard")
_ALIVE_S, _AGAIN_S, _RENEW_S, _IDLE_S, _LOOK_S = 20.0, 3.0, 3600.0, 900.0, 300.0
_LOG_BYTES, _LOG_FILES = 5 << 20, 5
_NODE = "node.json"
_NOT_DUMPABLE = 4  # prctl


class Service:
    """Everything that one site runs.

    Args:
        home: The site's.
        record: Where events are kept.
        point: Told of each point that is passed; for tests of crashes.

    Raises:
        StateError: the home is not whole, or others can read it.
        ConfigurationError: site.toml is wrong.
    """

    def __init__(
        self,
        home: SiteHome,
        record: Recorder = unrecorded,
        point: Callable[[str], None] = lambda _: None,
    ) -> None:
        home.check()
        self._home = home
        self._record = record = SiteMetrics(record)
        self.settings = SiteSettings.parse(home.settings.read_text(encoding="utf-8"))
        site, worker = self.settings.site, self.settings.worker
        self._fleet = Fleet(
            site.server,
            site_context(home),
            read_curve_key(home.node_key),
            largest=worker.answer_mib << 20,
        )
        self._workers = Workers(home, self.settings)
        self._stop = threading.Event()
        handling = Handling(home, self.settings, self._workers.computing_for, record, local_time)
        events = Events(record, point, self._progressed)
        self._in_flight = InFlight(home.state)
        self._guard = Guard(self._fleet, handling, self._in_flight, events, self._stop)
        self._said: dict[str, Any] = {"state": "starting", "node": None, "last": None, "count": 0}
        self._online = threading.Event()

    def run(self) -> None:
        """Serve until `stop` is called.

        Raises:
            StateError: another guard runs from this home, or a file cannot be used.
        """
        with self._home.held():
            _keep_to_itself()
            hold_little()
            keep_for_good()
            self._record("started", pid=os.getpid())
            self._workers.sweep()
            tending = threading.Thread(target=self._tend, daemon=True)
            tending.start()
            try:
                self._guard.serve(self._known_node(), self._connected)
            finally:
                self._stop.set()
                self._workers.end()
                tending.join()
                self._go_offline()
                self._say("stopped")
                self._record("stopped", pid=os.getpid())

    def stop(self) -> None:
        """End what is computed, and `run`; what was begun is taken up at the next start."""
        self._stop.set()
        self._workers.end()

    def _tend(self) -> None:
        renewed = alive = looked = 0.0
        while not self._stop.wait(_AGAIN_S):
            now = time.monotonic()
            if not renewed or now - renewed > _RENEW_S:
                renewed = now
                self._renew()
            if self._online.is_set() and now - alive > _ALIVE_S:
                with suppress(ProtocolError):  # the other thread finds out for itself
                    self._fleet.heartbeat()
                    alive = now
                    forget_signatures()
                    give_back()
            if now - looked > _LOOK_S:
                looked = now
                # Of what refers to itself Python lets go only when there is a quarter more of
                # everything: here that would be after days.
                let_go()
            self._workers.rest(_IDLE_S)
            self._write_status()

    def _renew(self) -> None:
        try:
            if renew_if_due(self._home, self.settings.site, self._record) is not None:
                self._fleet.show(site_context(self._home))
                _LOGGER.info("the certificate is renewed")
        except FederationError as error:
            _LOGGER.warning("the certificate is not renewed: %s", error)

    def _go_offline(self) -> None:
        # With an answer still to give, the server may wait for the next start.
        if not list(self._in_flight.waiting()):
            self._fleet.close()

    def _known_node(self) -> int | None:
        known = read_json(self._home.state / _NODE).get("node")
        return known if isinstance(known, int) else None

    def _connected(self, node: int) -> None:
        write_json(self._home.state / _NODE, {"node": node})
        self._online.set()
        self._said["node"] = node
        self._say("connected")

    def _progressed(self, what: str) -> None:
        if what in {"not connected", "refused by the server"}:
            self._online.clear()
            self._say(what)
            return
        self._said |= {"last": what, "last_time": time.time(), "count": self._said["count"] + 1}

    def _say(self, state: str) -> None:
        if self._said["state"] != state:
            _LOGGER.info("%s", state)
            self._said |= {"state": state, "since": time.time()}
        self._write_status()

    def _write_status(self) -> None:
        content = self._said | {"pid": os.getpid(), "workers": self._workers.status()}
        write_json(self._home.status, content)
        self._record.write(self._home, content, read_certificate(self._home.certificate).expires)


def log_to(folder: Path) -> None:
    """Send this process's log to files that its owner alone can read."""
    os.umask(0o077)
    handler = RotatingFileHandler(folder / "guard.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("murmura")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


def _keep_to_itself() -> None:
    """Let no other process of this user, a worker above all, look into this one's memory."""
    with suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0, 0, 0, 0)
