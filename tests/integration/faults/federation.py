"""A server's service and sites' guards as real processes, which a test may disturb as it likes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import httpx
from flwr.cli.build import build_fab_from_disk
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import StartRunRequest, StartRunResponse
from flwr.proto.fab_pb2 import Fab

from client.home import SiteHome
from client.joining import Choices, Invitation, join
from client.policy import SitePolicy
from client.renewal import accept_roster
from client.site_settings import Demonstration
from server.app_key import read_app_key, signature_of
from server.authority import Authority
from server.founding import found
from server.home import LISTENING, SERVICE, ServerHome
from server.invitations import Invitations, invitation_line
from server.settings import ServerSettings
from shared.app_signatures import bundle_content, fingerprint
from shared.config import Scalar
from shared.durable import read_json
from tests.client.made_sites import roster_of, settings_of
from tests.client.site_ledger import grant
from tests.integration.faults.namespaces import within
from tests.integration.superlink import _copy_of_the_app

ROOT = Path(__file__).parents[3]
_PROTOBUF = {"content-type": "application/protobuf", "accept": "application/protobuf"}
ENDED = "finished"
CONTROL_TIMEOUT_S = 60.0  # of a call to the service, which other work may hold up


@dataclass
class Federation:
    """One server and its sites.

    Attributes:
        folder: Everything's.
        home: The server's.
        sites: The sites' homes.
        places: Network namespace of "server" and of "site0", ...; none: this machine's own.
        processes: What runs.
    """

    folder: Path
    home: ServerHome
    sites: list[SiteHome] = field(default_factory=list)
    places: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @cached_property
    def bundle(self) -> bytes:
        """The app bundle that Flower makes of this checkout."""
        app = _copy_of_the_app(ROOT, self.folder / "murmura-app")
        with catch_warnings(action="ignore", category=DeprecationWarning):  # of Flower's own
            return build_fab_from_disk(app)

    @property
    def port(self) -> int:
        """The public one."""
        return int(read_json(self.home.state / LISTENING)["public"][0][1])

    def start_server(self) -> None:
        """The service; returns when it answers."""
        (self.home.state / SERVICE).unlink(missing_ok=True)
        self._start("server", [sys.executable, "-m", "server.service", "--home", self.home.root])
        self.wait_for(lambda: bool(read_json(self.home.state / SERVICE)), 90.0)

    def join(self, index: int, count: int, address: str) -> None:
        """One more site, by an invitation for `address`."""
        name = f"site-{index:06d}"
        with self.home.locked():
            token, expires = Invitations(self.home).invite(name, 1.0)
        line = invitation_line(
            address=address, fingerprint=Authority.open(self.home).fingerprint, token=token,
            name=name, expires=expires,
        )  # fmt: skip
        site = SiteHome(self.folder / f"site{index}")
        choices = Choices(
            data=None,
            grant=grant(epsilon=1000.0),
            policy=SitePolicy(seeded_runs=True),
            demonstration=Demonstration(partition=index, partitions=count),
        )
        with within(self.places.get(f"site{index}")):
            join(site, Invitation.parse(line), choices)
        self.sites.append(site)

    def accept_roster(self) -> None:
        """All sites know all."""
        roster = roster_of(*self.sites)
        for site in self.sites:
            accept_roster(site, settings_of(site).site, roster, fingerprint(roster))

    def start_guard(self, index: int, points: Sequence[str] = ()) -> None:
        """A site's guard; with `points`, one that is killed there, and started again."""
        home = self.sites[index].root
        command = [sys.executable, "-m", "murmura", "client", "start", "--home", home]
        if points:
            plan = self.folder / f"deaths{index}"
            plan.write_text(" ".join(points))
            dying = f"{sys.executable} -m tests.integration.dying_guard {home} {plan}"
            command = ["/bin/sh", "-c", f"while true; do {dying}; echo died; done"]
        self._start(f"site{index}", command)

    def submit(self, overrides: Mapping[str, Scalar]) -> str:
        """What `flwr run` does, with the bundle signed; Flower's number of the run."""
        signature = signature_of(read_app_key(self.home), bundle_content(self.bundle))
        config = dict(overrides) | {"output.bundle_signature": signature}
        fab = Fab(hash_str=sha256(self.bundle).hexdigest(), content=self.bundle)
        request = StartRunRequest(fab=fab, override_config=user_config_to_proto(config))
        answer = self._internal("POST", "/v1/control/start-run", request.SerializeToString())
        assert answer.status_code == 200, answer.text
        return str(StartRunResponse.FromString(answer.content).run_id)

    def told(self) -> dict[str, Any]:
        """What the server says of itself; nothing while it does not answer."""
        try:
            found: dict[str, Any] = self._internal("GET", "/murmura/status").json()
        except httpx.TransportError:
            return {}
        return found

    def status(self, run_id: str) -> str:
        """Of a run."""
        runs = self.told().get("runs", [])
        return next((str(run["status"]) for run in runs if run["run_id"] == run_id), "unknown")

    def outcome(self, run_id: str, within_s: float) -> str:
        """The status with which a run ends."""
        self.wait_for(lambda: self.status(run_id).startswith(ENDED), within_s)
        return self.status(run_id)

    def wait_for(self, condition: Any, within_s: float) -> None:
        """Until it holds; the logs say why it does not."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """`kill -9` of a process and of all that it started in its session."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self, name: str) -> None:
        """Ask it to end, and wait."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(60)

    def children(self, name: str) -> dict[int, str]:
        """Process ids and command lines of all that descend from one."""
        found = dict[int, str]()
        parents = {self.processes[name].pid}
        while parents:
            parents = {
                pid for pid, parent in _parents().items() if parent in parents and pid not in found
            }
            found |= {pid: _command(pid) for pid in parents}
        return found

    def kill_child(self, name: str, part: str) -> int:
        """`kill -9` of the descendant whose command line holds `part`; its process id."""
        [pid] = [pid for pid, line in self.children(name).items() if part in line][:1]
        os.kill(pid, signal.SIGKILL)
        return pid

    def logs(self) -> str:
        """The ends of all logs."""
        files = [*self.folder.glob("*.log"), *self.home.logs.glob("*.log")]
        files += [site.logs / "guard.log" for site in self.sites]
        return "\n".join(f"== {p}\n{p.read_text()[-2500:]}" for p in files if p.exists())

    def _internal(self, method: str, path: str, content: bytes = b"") -> httpx.Response:
        port = read_json(self.home.state / LISTENING)["internal"]
        with (
            within(self.places.get("server")),
            httpx.Client(trust_env=False, timeout=CONTROL_TIMEOUT_S) as client,
        ):
            return client.request(
                method, f"http://127.0.0.1:{port}{path}", content=content, headers=_PROTOBUF
            )

    def _start(self, name: str, command: Sequence[Any]) -> None:
        place = self.places.get(name)
        prefix = ["ip", "netns", "exec", place] if place else []
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - our own command line
                [*prefix, *map(str, command)], env=environment, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT,
            )  # fmt: skip


@contextmanager
def federation(
    folder: Path,
    count: int,
    *,
    addresses: Sequence[str] = (),
    places: Mapping[str, str] | None = None,
    between: Callable[[int, int], int] = lambda _site, port: port,
) -> Iterator[Federation]:
    """A server that serves and sites that have joined it; all is stopped at the end.

    Args:
        folder: For everything.
        count: Sites.
        addresses: Of the server, as each site sees it.
        places: As `Federation` has it.
        between: The port that a site is told, given its number and the server's port.
    """
    home = ServerHome(folder / "home")
    names = tuple(addresses) or ("127.0.0.1",)
    found(home, ServerSettings(names=names, listen=names, port=0, internal_port=0))
    running = Federation(folder, home, places=places or {})
    try:
        running.start_server()
        for index in range(count):
            port = between(index, running.port)
            running.join(index, count, f"{names[index % len(names)]}:{port}")
        running.accept_roster()
        yield running
    finally:
        for name in reversed(list(running.processes)):
            for pid in running.children(name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            running.kill(name)


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
