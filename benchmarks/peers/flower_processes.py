"""Flower as it comes, over loopback: a SuperLink, two SuperNodes, FedAvg, a model of so many MiB.

    python benchmarks/round_latency.py --stock --mib 100

calls `played`. All is favourable to Flower: no TLS, no authentication, its state in memory alone,
no privacy, no checkpoint; a client returns what it got, plus a constant, so that the parts of its
answer are others than those that the server has already.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

PROJECT = """
[project]
name = "stock"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "nobody"
[tool.flwr.app.components]
serverapp = "stock.apps:server"
clientapp = "stock.apps:client"
[tool.flwr.app.config]
width = {width}
rounds = {rounds}
told = "{told}"
"""
APPS = """
import time
import numpy as np
from flwr.app import ArrayRecord, MetricRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

server = ServerApp()
client = ClientApp()

@server.main()
def main(grid, context):
    width, generator = int(context.run_config["width"]), np.random.default_rng(0)
    shapes = ((width, width), (width,), (2, width), (2,))
    arrays = [generator.standard_normal(shape, dtype=np.float32) for shape in shapes]

    def tell(round_number, arrays):
        with open(context.run_config["told"], "a") as file:
            file.write(f"{time.monotonic()}\\n")

    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=2)
    strategy.start(
        grid, ArrayRecord(arrays), num_rounds=int(context.run_config["rounds"]), evaluate_fn=tell
    )

@client.train()
def train(message, context):
    arrays = message.content["arrays"].to_numpy_ndarrays()
    shift = 1e-6 * (1 + int(context.node_config["partition-id"]))
    content = RecordDict({
        "arrays": ArrayRecord([array + np.float32(shift) for array in arrays]),
        "metrics": MetricRecord({"num-examples": 1}),
    })
    return Message(content, reply_to=message)
"""
KINDS = {
    "serverapp": "flwr-serverapp",
    "clientapps": "flwr-clientapp",
    "superexecs": "flower-superexec",
    "superlink": "flower-superlink",
    "supernodes": "flower-supernode",
}
_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
NO_INSTALLATION = "--disable-runtime-dependency-installation"
_PATIENCE_S, _READY_S = 600.0, 60.0


def ports(count: int) -> list[int]:
    """So many that are free."""
    with ExitStack() as held:
        listeners = [
            held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def prepared(folder: Path, rounds: int, width: int, port: int) -> Path:
    """Flower's app and settings; where it tells the end of each round."""
    told, app = folder / "told", folder / "app"
    (app / "stock").mkdir(parents=True)
    (app / "stock/__init__.py").write_text("")
    (app / "stock/apps.py").write_text(APPS)
    project = PROJECT.format(width=width, rounds=rounds, told=told)
    (app / "pyproject.toml").write_text(project)
    home = folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "lo"\n[superlink.lo]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n"
    )
    return told


def times(told: Path) -> list[float]:
    """When the first round began, and when each was over."""
    with suppress(OSError):
        return [float(line) for line in told.read_text().splitlines()]
    return []


def played(folder: Path, rounds: int, width: int) -> list[float]:
    """Seconds of each round."""
    port, *nodes = ports(3)
    told = prepared(folder, rounds, width, port)
    scripts = Path(sys.executable).parent
    environment: dict[str, Any] = os.environ | _SETTINGS
    environment["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    environment["FLWR_HOME"] = str(folder / "home")
    begun: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        # A log's name says whose process it is: see `process_use`.
        log = ("--log-file", str(folder / f"{len(begun)}.log")) if not begun else ()
        output = (folder / f"{len(begun)}.out").open("wb")
        with output:
            begun.append(
                subprocess.Popen(  # noqa: S603 - our own words
                    [str(scripts / words[0]), *words[1:], *log],
                    env=environment,
                    cwd=folder,
                    stdout=output,
                    stderr=output,
                )
            )

    address = f"127.0.0.1:{port}"
    try:
        start("flower-superlink", "--insecure", "--port", str(port), NO_INSTALLATION)
        _wait(port)
        for number, node in enumerate(nodes):
            start(
                "flower-supernode", "--insecure", "--superlink", address, "--port", str(node),
                "--node-config", f'partition-id={number} folder="{folder}"',
            )  # fmt: skip
        subprocess.run(  # noqa: S603 - our own words
            [str(scripts / "flwr"), "run", str(folder / "app"), "lo"],
            env=environment, stdout=subprocess.DEVNULL, check=True, cwd=folder,
        )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE_S
        while len(found := times(told)) <= rounds:
            if time.monotonic() > deadline:
                raise SystemExit(f"expected {rounds} rounds of Flower, got {len(found) - 1}")
            time.sleep(0.2)
    finally:
        for process in reversed(begun):
            process.terminate()
        for process in begun:
            process.wait()
    return [after - before for before, after in pairwise(found)]


def _wait(port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
