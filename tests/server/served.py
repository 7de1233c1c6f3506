"""A server that really serves, in a thread of the test's process, on ports that were free."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from server.founding import found
from server.home import LISTENING, ServerHome
from server.invitations import Invitations
from server.serving import Serving
from server.settings import Limits, ServerSettings
from server.sites import Sites
from shared.durable import read_json
from tests.server.site_client import FleetClient, SiteKeys, client_of, context_for, pem_of

SETTINGS = ServerSettings(
    names=("localhost",), listen=("127.0.0.1", "::1"), port=0, internal_port=0
)

Events = list[tuple[str, dict[str, Any]]]


@dataclass
class Served:
    """A running server, and sites that joined it."""

    home: ServerHome
    folder: Path
    serving: Serving
    events: Events = field(default_factory=list)

    @property
    def port(self) -> int:
        """The public one."""
        return int(read_json(self.home.state / LISTENING)["public"][0][1])

    @property
    def internal(self) -> str:
        """The internal interface's address."""
        return f"http://127.0.0.1:{read_json(self.home.state / LISTENING)['internal']}"

    @property
    def base(self) -> str:
        """The public address."""
        return f"https://127.0.0.1:{self.port}"

    def invite(self, name: str, hours: float = 1.0) -> str:
        """A token, as another process makes it."""
        with self.home.locked():
            return Invitations(self.home).invite(name, hours)[0]

    def revoke(self, name: str) -> None:
        """As another process does it."""
        with self.home.locked():
            Sites(self.home).revoke(name)

    def stranger(self) -> AbstractContextManager[FleetClient]:
        """A client without a certificate."""
        return client_of(self.base, context_for(self.home.pki / "ca.pem", self.folder))

    def enrol(self, keys: SiteKeys) -> str:
        """Join; the certificate."""
        with self.stranger() as client:
            answer = client.http.post(
                f"{self.base}/enrol", json=keys.request(self.invite(keys.name))
            )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["certificate"])

    @contextmanager
    def site(self, keys: SiteKeys, certificate: str = "") -> Iterator[FleetClient]:
        """A client that shows a certificate; it joins, if it has none yet."""
        shown = certificate or self.enrol(keys)
        context = context_for(self.home.pki / "ca.pem", self.folder, shown, pem_of(keys.key))
        with client_of(self.base, context, keys) as client:
            yield client


@contextmanager
def served(folder: Path, limits: Limits | None = None) -> Iterator[Served]:
    """A new server in `folder`, until the block ends."""
    home = ServerHome(folder / "home")
    found(home, replace(SETTINGS, limits=limits or Limits()))
    with serving_in_a_thread(home) as (serving, events):
        yield Served(home, folder, serving, events)


@contextmanager
def serving_in_a_thread(home: ServerHome, key: bytes = b"") -> Iterator[tuple[Serving, Events]]:
    """A server for a home that is there, and what it records."""
    events: Events = []

    def record(event: str, /, **detail: Any) -> None:
        events.append((event, detail))

    (home.state / LISTENING).unlink(missing_ok=True)
    serving = Serving(home, key or os.urandom(32), record)
    serving._mailbox.wait_s = 0.1
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(loop.run_until_complete, serving.run(stop))
        deadline = time.monotonic() + 30
        try:
            while not (home.state / LISTENING).exists() and not ended.done():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            if not ended.done():
                yield serving, events
        finally:
            loop.call_soon_threadsafe(stop.set)
            wait([ended], 30)
            loop.close()
            ended.result(0)
