"""A stock SuperLink over TLS with node authentication, and sites' guards as processes."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from ssl import create_default_context
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client.home import SiteHome
from client.renewal import accept_roster
from client.site_keys import read_curve_key
from shared.app_signatures import fingerprint
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home, roster_of, settings_of, signature
from tests.integration.flower_command import flower_command
from tests.integration.run_status import outcome
from tests.integration.superlink import BIN, _copy_of_the_app, _free_ports, _toml

Value = str | int | float | bool


@dataclass(frozen=True)
class GuardedFederation:
    """A running SuperLink, homes of sites, and the copy of the app that is submitted."""

    app: Path
    workspace: Path
    port: int
    authority: TestAuthority
    homes: Sequence[SiteHome]
    environment: Mapping[str, str]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def bundle(self) -> bytes:
        """The app bundle that Flower makes of the app."""
        target = self.workspace / "built"
        target.mkdir(exist_ok=True)
        self.flwr("build", "--app", str(self.app), cwd=target)
        return next(target.glob("*.fab")).read_bytes()

    def submit(self, overrides: Mapping[str, Value]) -> str:
        """Submit the app as `flwr run` does, signed; returns Flower's number of the run."""
        signed = {"output.bundle_signature": signature(self.authority, self.bundle())}
        config = " ".join(f"{key}={_toml(value)}" for key, value in {**overrides, **signed}.items())
        found = self.flwr("run", str(self.app), "test", "--run-config", config, json_out=True)
        return str(found["run-id"])

    def outcome(self, run_id: str, timeout_s: float) -> str:
        """The final status of a run, or that there is none yet."""
        authority = self.workspace / "ca.pem"
        return outcome(f"127.0.0.1:{self.port}", authority, run_id, timeout_s)

    def start_guard(self, index: int) -> None:
        """`murmura client start` of one site."""
        home = self.homes[index]
        self._start(f"guard{index}", [
            sys.executable, "-m", "murmura", "client", "start", "--home", str(home.root),
        ], cwd=Path(__file__).parents[2])  # fmt: skip

    def start_dying_guard(self, index: int, points: Sequence[str]) -> Path:
        """A guard that dies at each of `points`, and is started again; returns what is left."""
        plan = self.workspace / f"deaths{index}"
        plan.write_text(" ".join(points))
        command = [
            sys.executable, "-m", "tests.integration.dying_guard", str(self.homes[index].root),
            str(plan),
        ]  # fmt: skip
        again = f"while true; do {shlex.join(command)}; echo died; done"
        self._start(f"guard{index}", ["/bin/sh", "-c", again], cwd=Path(__file__).parents[2])
        return plan

    def accept_roster(self) -> None:
        """All sites know all."""
        roster = roster_of(*self.homes)
        for home in self.homes:
            accept_roster(home, settings_of(home).site, roster, fingerprint(roster))

    def kill(self, name: str) -> None:
        """`kill -9`."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def logs(self) -> str:
        """The ends of all logs."""
        files = [*self.workspace.glob("*.log"), *(h.logs / "guard.log" for h in self.homes)]
        return "\n".join(f"== {p}\n{p.read_text()[-2500:]}" for p in files if p.exists())

    def flwr(
        self, *arguments: str, cwd: Path | None = None, json_out: bool = False
    ) -> dict[str, Any]:
        """What Flower's command says."""
        words = (*arguments, *(("--format", "json") if json_out else ()))
        return flower_command(*words, environment=self.environment, folder=cwd)

    def start_superlink(self) -> None:
        """Start it, wait for it, register the sites' nodes."""
        chain, key, authority = self.authority.serve_with(self.workspace)
        self._start("superlink", [
            str(BIN / "flower-superlink"), "--host", "127.0.0.1", "--port", str(self.port),
            "--ssl-certfile", str(chain), "--ssl-keyfile", str(key),
            "--ssl-ca-certfile", str(authority), "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ], cwd=self.workspace)  # fmt: skip
        context = create_default_context(cafile=str(authority))
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                url = f"https://127.0.0.1:{self.port}/health"
                if httpx.get(url, verify=context, trust_env=False).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        for home in self.homes:
            public = self.workspace / f"{home.root.name}.pub"
            key_bytes = read_curve_key(home.node_key).public_key()
            public.write_bytes(key_bytes.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
            self.flwr("supernode", "register", str(public), "test", json_out=True)

    def _start(self, name: str, command: list[str], *, cwd: Path) -> None:
        with (self.workspace / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - our own command line
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, cwd=cwd,
            )  # fmt: skip


@contextmanager
def guarded(
    repository: Path, workspace: Path, sites: int, *, started: Sequence[int] | None = None
) -> Iterator[GuardedFederation]:
    """Start a SuperLink and guards for so many sites, or those `started`; stop all at the end."""
    authority = TestAuthority.new()
    [port] = _free_ports(1)
    homes = [
        made_home(
            workspace / f"home{index}",
            authority,
            name=f"site-{index:06d}",
            address=f"127.0.0.1:{port}",
            part=(index, sites),
        )
        for index in range(sites)
    ]
    flower = workspace / "flower"
    flower.mkdir()
    (flower / "config.toml").write_text(
        f'[superlink]\ndefault = "test"\n[superlink.test]\naddress = "127.0.0.1:{port}"\n'
        f'root-certificates = "{workspace / "ca.pem"}"\n'
    )
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
        "OMP_NUM_THREADS": "1",
    }
    app = _copy_of_the_app(repository, workspace / "murmura-app")
    found = GuardedFederation(app, workspace, port, authority, homes, environment)
    try:
        found.start_superlink()
        for index in range(sites) if started is None else started:
            found.start_guard(index)
        yield found
    finally:
        for name in reversed(list(found.processes)):
            found.kill(name)
