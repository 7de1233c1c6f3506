"""Seconds of a round across processes on this machine: server, sites behind guards, `murmura run`.

    python benchmarks/round_latency.py                # tiny model, three sites: median of 20 rounds
    python benchmarks/round_latency.py --masks        # likewise under masks
    python benchmarks/round_latency.py --mib 100      # a model of 100 MiB, two sites
    python benchmarks/round_latency.py --mib 100 --stock    # Flower as it comes, with FedAvg

The bars: a median of at most 2 s for the tiny model; for the large one twice the time that the
bytes of a round take over a loopback socket, and 2 s, with at most three models in memory at the
server beyond what its processes have before the first round, when a large model is not in their
memory yet. One JSON object is printed; processor time is of a round after the first.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
import flower_processes
from process_use import Use

from examples.federation import ROOT, Federation, running
from murmura.app_bundle import bundle_with
from server.progress_file import PROGRESS

MIB = 1 << 20
TASK = '''
"""A model of so many MiB that learns nothing in particular from eight examples."""
import torch
from torch import nn
from shared.task import Examples

WIDTH = {width}

class Large:
    def __init__(self, settings):
        generator = torch.Generator().manual_seed(0)
        inputs = torch.rand(8, WIDTH, generator=generator)
        self._examples = Examples((inputs,), torch.arange(8) % 2)

    def build_model(self):
        return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 2))

    def site_data(self, site):
        return self._examples

    def losses(self, outputs, targets):
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs, targets):
        return {{"accuracy": (outputs.argmax(1) == targets).float()}}

    def evaluation_data(self):
        return self._examples
'''
TINY = (
    "--task", "digits", "-c", "population.examples_per_client=100", "-c", "training.batch_size=20",
    "-c", "privacy.noise_multiplier=4.0",
)  # fmt: skip
KINDS = {
    "serving": "server.serving",
    "serverapp": "flwr-serverapp",
    "guards": "client start",
    "workers": "client.worker",
}
LARGE = (
    "--task", "large:Large", "-c", "privacy.unit=client", "-c", "privacy.noise_multiplier=10.0",
    "-c", "training.batch_size=4",
    "-c", "training.steps=1", "-c", "runtime.evaluate_every=1000",
)  # fmt: skip


def copied(total: int) -> float:
    """Seconds in which so many bytes pass a loopback socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    block = bytes(MIB)

    def send() -> None:
        with socket.create_connection(listener.getsockname()) as sender:
            for _ in range(total // MIB):
                sender.sendall(block)

    started = time.perf_counter()
    threading.Thread(target=send, daemon=True).start()
    accepted, _ = listener.accept()
    with accepted:
        while accepted.recv(MIB):
            pass
    listener.close()
    return time.perf_counter() - started


def finished(folder: Path) -> int | None:
    """How many rounds of a run are over; None: it has not begun."""
    try:
        if b'"event":"started"' not in (folder / PROGRESS).read_bytes():
            return None
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return None


def told(seconds: list[float], use: Use, server: tuple[str, ...]) -> dict[str, Any]:
    """Of rounds, and of the processes that played them, some of which are the server's."""
    spent = use.processor_s()
    return {
        "rounds": len(seconds),
        "first_s": seconds[0],
        "median_s": statistics.median(seconds[1:]),
        "slowest_s": max(seconds[1:]),
        "server_peak_mib": {name: use.peak.get(name, 0) >> 20 for name in server},
        "server_start_mib": {name: use.before.get(name, 0) >> 20 for name in server},
        "peak_mib": {name: size >> 20 for name, size in use.peak.items()},
        "processor_s": {name: round(each, 2) for name, each in spent.items()},
        "processor_s_in_all": round(sum(spent.values()), 2),
        "load": os.getloadavg()[0],
    }


def played(federation: Federation, settings: list[str], sites: int) -> dict[str, Any]:
    """A run, and what its rounds took, in seconds as the server's part counts them."""
    folder = federation.server / "runs" / "timed"
    use = Use(federation.folder, KINDS, lambda: finished(folder))
    use.start()
    words = ["run", *settings, "-c", "output.run_id=timed", "-c", "output.tensorboard=false"]
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "murmura", *words, "--home", str(federation.server), "-q"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    use.done.set()
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    return {"sites": sites} | told(seconds, use, ("serving", "serverapp"))


def tiny(folder: Path, rounds: int, *, masks: bool) -> dict[str, Any]:
    """Three sites, 2,410 parameters."""
    noise = ["-c", "privacy.noise=distributed"] if masks else []
    with running(folder, seeded=True, quiet=True) as federation:
        return played(federation, [*TINY, *noise, "--rounds", str(rounds)], 3)


def large(folder: Path, rounds: int, mib: int) -> dict[str, Any]:
    """Two sites with a task of their own, and a model of so many MiB."""
    width = int((mib * MIB / 4) ** 0.5)
    app = folder / "app"
    app.mkdir()
    (app / "large.py").write_text(TASK.format(width=width))
    policy = folder / "policy.toml"
    policy.write_text('[budget]\nunit = "client"\nepsilon = 8.0\ndelta = 1e-5\n')
    federation = Federation(folder, quiet=True)
    try:
        federation.start_server()
        join(federation, policy)
        bundle = approved(app)
        for home in federation.joined:
            federation.do("client", "approve", bundle, "--home", str(home))
            federation.do("client", "start", "--detach", "--home", str(home))
        settings = [*LARGE, "--app", str(app), "--rounds", str(rounds)]
        found = played(federation, settings, 2)
    finally:
        federation.stop()
    # Each site is sent the model and sends an update; both pass the server's port once.
    bytes_of_a_round = 2 * 2 * mib * MIB
    copy_s = min(copied(bytes_of_a_round) for _ in range(3))
    return found | {"mib": mib, "copy_s": copy_s, "bar_s": 2 * copy_s + 2}


def stock(folder: Path, rounds: int, mib: int) -> dict[str, Any]:
    """The same model with Flower as it comes."""
    ended = folder / "told"

    def over() -> int | None:
        told = len(flower_processes.times(ended))
        return told - 1 if told else None

    use = Use(folder, flower_processes.KINDS, over)
    use.start()
    seconds = flower_processes.played(folder, rounds, int((mib * MIB / 4) ** 0.5))
    use.done.set()
    return {"sites": 2, "mib": mib} | told(seconds, use, ("superlink", "serverapp"))


def join(federation: Federation, policy: Path) -> None:
    """Two sites with folders of data."""
    for name in ("site-a", "site-b"):
        line = federation.ask("server", "invite", name, "--home", str(federation.server))["line"]
        home, data = federation.folder / name, federation.folder / f"data-{name}"
        data.mkdir()
        words = ["--data", str(data), "--policy", str(policy), "--home", str(home)]
        federation.do("client", "join", line, *words)
        federation.joined.append(home)


def approved(app: Path) -> str:
    """The hash that sites approve."""
    return sha256(bundle_with(app)).hexdigest()


def main() -> None:
    """As the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="default: 21, or 6 with --mib")
    parser.add_argument("--masks", action="store_true")
    parser.add_argument("--mib", type=int, default=0)
    parser.add_argument("--stock", action="store_true", help="Flower's own processes instead")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="murmura-rounds-") as name:
        folder = Path(name).resolve()
        if given.stock:
            found = stock(folder, given.rounds or 6, given.mib or 100)
        elif given.mib:
            found = large(folder, given.rounds or 6, given.mib)
        else:
            found = tiny(folder, given.rounds or 21, masks=given.masks)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
