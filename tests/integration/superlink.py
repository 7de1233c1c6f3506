"""A real SuperLink and real SuperNodes on loopback, started and stopped around a test."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

BIN = Path(sys.executable).parent
BUNDLED = ("server", "client", "shared", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Deployment:
    """A running federation of processes, and the copy of the app that is submitted to it."""

    app: Path
    environment: Mapping[str, str]
    logs: Path

    def run(self, overrides: Mapping[str, str | int | float | bool], timeout_s: float) -> str:
        """Submit the app as `flwr run` does, wait for its end, and return its final status."""
        config = " ".join(f"{key}={_toml(value)}" for key, value in overrides.items())
        started = self._flwr("run", str(self.app), "test", "--run-config", config)
        run_id = str(started["run-id"])
        deadline = time.monotonic() + timeout_s
        status = "unknown"
        while time.monotonic() < deadline:
            status = str(self._flwr("ls", "test", "--run-id", run_id)["runs"][0]["status"])
            if status.startswith("finished"):
                return status
            time.sleep(0.5)
        return f"timed out: {status}"

    def _flwr(self, verb: str, *arguments: str) -> dict[str, Any]:
        command = [str(BIN / "flwr"), verb, *arguments, "--format", "json"]
        done = subprocess.run(  # noqa: S603 - our own command line
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@contextmanager
def deployment(repository: Path, workspace: Path, supernodes: int) -> Iterator[Deployment]:
    """Start a SuperLink with `supernodes` SuperNodes in `workspace`; stop them all at the end."""
    app = _copy_of_the_app(repository, workspace / "murmura-app")
    ports = _free_ports(supernodes + 1)
    address = f"127.0.0.1:{ports[0]}"
    environment = _environment(workspace / "home", address)
    processes = []
    try:
        processes.append(_start(workspace, environment, "superlink", _superlink(ports[0])))
        _wait_for(f"http://{address}/health")
        for index, port in enumerate(ports[1:]):
            command = _supernode(address, port, index, supernodes)
            home = {**environment, "FLWR_HOME": str(workspace / f"node{index}")}
            processes.append(_start(workspace, home, f"supernode{index}", command))
        yield Deployment(app, environment, workspace)
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _superlink(port: int) -> list[str]:
    return [
        "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(port),
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip


def _supernode(address: str, port: int, index: int, count: int) -> list[str]:
    config = f"partition-id={index} num-partitions={count} allow-seeded-runs=true"
    return [
        "flower-supernode", "--insecure", "--superlink", address, "--port", str(port),
        "--node-config", config,
    ]  # fmt: skip


def _start(
    workspace: Path, environment: Mapping[str, str], name: str, command: list[str]
) -> "subprocess.Popen[bytes]":
    log = (workspace / f"{name}.log").open("wb")
    with log:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [str(BIN / command[0]), *command[1:]],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=workspace,
        )


def _environment(home: Path, address: str) -> dict[str, str]:
    home.mkdir(parents=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "test"\n[superlink.test]\naddress = "{address}"\ninsecure = true\n'
    )
    return {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
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


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within 60 s")


def _toml(value: str | int | float | bool) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else (f"'{value}'" if isinstance(value, str) else repr(value))
    )
