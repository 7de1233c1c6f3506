"""Many sites in one process: the real protocol and the real ClientApp, without a guard for each.

A thread a site: it enrols, shows its certificate, signs as its node, asks for messages and answers
them; the answers are computed one after another.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Context, Message, RecordDict

from client.app import app as client_app
from client.back_off import BackOff
from client.fleet import Fleet
from client.fleet_errors import FleetRefused, FleetUnavailable, RunOver
from client.guard import POLL_S
from client.letters import Letter, Received
from server.home import ServerHome
from server.invitations import Invitations
from shared.config import RunConfig, Scalar
from tests.server.site_client import SiteKeys, context_for, pem_of

_LARGEST, _AT_ONCE, _ALIVE_S = 1 << 26, 4, 20.0


@dataclass
class LightSites:
    """All of them.

    Attributes:
        home: The server's; invitations are made in it.
        address: host:port of the public port.
        folder: For certificates.
        count: Sites.
    """

    home: ServerHome
    address: str
    folder: Path
    count: int
    stop: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, int] = field(default_factory=dict)
    online: set[int] = field(default_factory=set)
    answered: int = 0
    _owed: dict[int, Letter] = field(default_factory=dict)
    _computing: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def enrol(self) -> list[Fleet]:
        """Every site joins by an invitation of its own, and gets a certificate."""
        names = [f"site-{index:06d}" for index in range(self.count)]
        with self.home.locked():
            invitations = Invitations(self.home)
            tokens = [invitations.invite(name, 1.0)[0] for name in names]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(self._enrolled, names, tokens))

    def start(self, connections: list[Fleet]) -> None:
        """All go online, and answer until `end`."""
        for index, fleet in enumerate(connections):
            thread = threading.Thread(target=self._serve, args=(index, fleet), daemon=True)
            self._threads.append(thread)
            thread.start()
        thread = threading.Thread(target=self._beat, args=(connections,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _beat(self, connections: list[Fleet]) -> None:
        """Signs of life of all, also of those that wait for an answer, as guards give them."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            while not self.stop.wait(_ALIVE_S):
                list(threads.map(self._alive, range(self.count), connections))

    def _alive(self, index: int, fleet: Fleet) -> None:
        with suppress(FleetUnavailable, FleetRefused):
            if index in self.online and not self.stop.is_set():
                fleet.heartbeat()

    def end(self) -> None:
        """No site asks any more."""
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _enrolled(self, name: str, token: str) -> Fleet:
        keys, ca = SiteKeys(name), self.home.pki / "ca.pem"
        with httpx.Client(verify=context_for(ca, self.folder), trust_env=False) as http:
            while True:
                answer = http.post(f"https://{self.address}/enrol", json=keys.request(token))
                if answer.status_code == 200:
                    break
                # So many a second from one address, and all these have the same.
                assert answer.status_code == 429, answer.text
                time.sleep(0.5)
        context = context_for(ca, self.folder, answer.json()["certificate"], pem_of(keys.key))
        return Fleet(self.address, context, keys.node, largest=_LARGEST)

    def _serve(self, index: int, fleet: Fleet) -> None:
        wait, known = BackOff(self.stop), None
        configs = dict[int, dict[str, Any]]()
        while not self.stop.is_set():
            try:
                known = fleet.connect(known)
                self.online.add(index)
                wait.reset()
                self._settle(index, fleet)
                while not self.stop.is_set():
                    received = fleet.receive()
                    if received is None:
                        self.stop.wait(POLL_S)
                        continue
                    with suppress(RunOver):
                        self._answer(index, fleet, received, configs)
            except (FleetUnavailable, FleetRefused) as error:
                self.online.discard(index)
                text = str(error)[:80]
                self.errors[text] = self.errors.get(text, 0) + 1
                wait.sleep()
        fleet.close()

    def _answer(
        self, index: int, fleet: Fleet, received: Received, configs: dict[int, dict[str, Any]]
    ) -> None:
        run_id = received.metadata.run_id
        if run_id not in configs:
            order = fleet.order(run_id)
            # As a guard does, although nothing of it runs here.
            fleet.bundle(run_id, order.bundle_hash)
            configs[run_id] = RunConfig.from_run_config(order.overrides).flat()
        message = fleet.content(received)
        node: dict[str, Scalar] = {"partition-id": index, "num-partitions": self.count}
        context = Context(run_id, 0, node, RecordDict(), configs[run_id])
        with self._computing:
            reply: Message = client_app(message, context)
            self.answered += 1
        self._owed[index] = Letter.of(reply)
        fleet.confirm(received)
        self._settle(index, fleet)

    def _settle(self, index: int, fleet: Fleet) -> None:
        """Send what is owed; after a lost connection once more, as a guard does."""
        if index in self._owed:
            with suppress(RunOver):
                fleet.send(self._owed[index])
            del self._owed[index]
