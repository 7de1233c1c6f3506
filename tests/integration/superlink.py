"""A real SuperLink and real SuperNodes on loopback, started and stopped around a test."""

import os
import shutil
import signal
import socket
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

from tests.integration.certificates import CERTIFICATE, CERTIFICATE_KEY, certify
from tests.integration.flower_command import flower_command
from tests.integration.run_status import outcome

BIN = Path(sys.executable).parent
Value = str | int | float | bool
BUNDLED = ("server", "client", "shared", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperNode:
    """A node as its owner starts it.

    Attributes:
        config: As flower-supernode takes it.
        key: File of the node's key; one SuperNode with a key makes the SuperLink ask all for one,
            over TLS. A node that is started again with its key is the same node.
        environment: Variables of its own.
    """

    config: str
    key: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def demonstration(count: int) -> list[SuperNode]:
    """Nodes that share one data set."""
    shared = f"num-partitions={count} allow-seeded-runs=true"
    return [SuperNode(config=f"partition-id={index} {shared}") for index in range(count)]


@dataclass(frozen=True)
class Deployment:
    """A running federation of processes, and the copy of the app that is submitted to it."""

    app: Path
    environment: Mapping[str, str]
    logs: Path
    supernodes: Sequence[SuperNode]
    ports: Sequence[int]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def secured(self) -> bool:
        """Whether nodes prove who they are, over TLS."""
        return any(node.key is not None for node in self.supernodes)

    def run(self, overrides: Mapping[str, Value], timeout_s: float) -> str:
        """Submit the app as `flwr run` does, wait for its end, and return its final status."""
        return self.outcome(self.submit(overrides), timeout_s)

    def submit(self, overrides: Mapping[str, Value]) -> str:
        """Submit the app as `flwr run` does; returns Flower's number of the run."""
        config = " ".join(f"{key}={_toml(value)}" for key, value in overrides.items())
        return str(self._flwr("run", str(self.app), "test", "--run-config", config)["run-id"])

    def outcome(self, run_id: str, timeout_s: float) -> str:
        """The final status of a run, or that there is none yet."""
        certificate = self.logs / CERTIFICATE if self.secured else None
        return outcome(f"127.0.0.1:{self.ports[0]}", certificate, run_id, timeout_s)

    def log(self, name: str) -> str:
        """What a process has told so far: superlink, supernode0, supernode1, .."""
        return (self.logs / f"{name}.log").read_text()

    def start_superlink(self) -> None:
        """Start it, wait for it, and make it know the nodes' keys."""
        self._start("superlink", self.environment, _superlink(self.ports[0], self._certified()))
        _wait_for(self.ports[0], self.logs / CERTIFICATE if self.secured else None)
        for node in self.supernodes:
            if node.key is not None:
                self._flwr("supernode", "register", f"{node.key}.pub", "test")

    def start(self, name: str) -> None:
        """Start a SuperNode, for the first time or again, whatever is left of it."""
        if name in self.processes:
            self.kill(name)
        index = int(name.removeprefix("supernode"))
        node = self.supernodes[index]
        command = [
            "flower-supernode", "--superlink", f"127.0.0.1:{self.ports[0]}",
            "--port", str(self.ports[1 + index]), "--node-config", node.config,
        ]  # fmt: skip
        if node.key is None:
            command.append("--insecure")
        else:
            command += ["--root-certificates", str(self.logs / CERTIFICATE)]
            command += ["--auth-supernode-private-key", str(node.key)]
        home = {"FLWR_HOME": str(self.logs / f"node{index}")}
        self._start(name, {**self.environment, **home, **node.environment}, command)

    def kill(self, name: str) -> None:
        """`kill -9` of a process and of all that it started."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):  # all of them have ended already
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _certified(self) -> list[str]:
        if not self.secured:
            return ["--insecure"]
        certificate, key = (str(self.logs / name) for name in (CERTIFICATE, CERTIFICATE_KEY))
        return [
            "--ssl-certfile", certificate, "--ssl-keyfile", key, "--ssl-ca-certfile", certificate,
            "--enable-supernode-auth",
        ]  # fmt: skip

    def _start(self, name: str, environment: Mapping[str, str], command: list[str]) -> None:
        log = (self.logs / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - our own command line
                [str(BIN / command[0]), *command[1:]],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.logs,
            )

    def _flwr(self, *words: str) -> dict[str, Any]:
        return flower_command(*words, "--format", "json", environment=self.environment)


@contextmanager
def deployment(
    repository: Path,
    workspace: Path,
    supernodes: Sequence[SuperNode],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """Start a SuperLink with `supernodes` in `workspace`; stop them all at the end.

    Args:
        repository: What is submitted comes from here.
        workspace: A folder for logs and all else.
        supernodes: In the order of their numbers.
        environment: More variables of all processes.
    """
    app = _copy_of_the_app(repository, workspace / "murmura-app")
    ports = _free_ports(len(supernodes) + 1)
    secured = any(node.key is not None for node in supernodes)
    if secured:
        certify(workspace)
    known = _environment(workspace, ports[0], secured=secured) | dict(environment or {})
    federation = Deployment(app, known, workspace, supernodes, ports)
    try:
        federation.start_superlink()
        for index in range(len(supernodes)):
            federation.start(f"supernode{index}")
        yield federation
    finally:
        for name in reversed(list(federation.processes)):
            federation.kill(name)


def _superlink(port: int, certified: list[str]) -> list[str]:
    return [
        "flower-superlink", "--host", "127.0.0.1", "--port", str(port),
        "--disable-runtime-dependency-installation", *certified,
    ]  # fmt: skip


def _environment(workspace: Path, port: int, *, secured: bool) -> dict[str, str]:
    home = workspace / "home"
    home.mkdir(parents=True)
    trust = f'root-certificates = "{workspace / CERTIFICATE}"' if secured else "insecure = true"
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "test"\n[superlink.test]\naddress = "127.0.0.1:{port}"\n{trust}\n'
    )
    return {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
        "OMP_NUM_THREADS": "1",
    }


def _copy_of_the_app(repository: Path, target: Path) -> Path:
    """What a user submits; Flower refuses some directory names, so it is copied to a good one."""
    target.mkdir()
    for name in BUNDLED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _wait_for(port: int, certificate: Path | None) -> None:
    url = f"http{'' if certificate is None else 's'}://127.0.0.1:{port}/health"
    trusted = True if certificate is None else create_default_context(cafile=certificate)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1.0, trust_env=False, verify=trusted).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within 60 s")


def _toml(value: Value) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else (f"'{value}'" if isinstance(value, str) else repr(value))
    )
