"""What a round of many sites costs the server: time, memory, processor.

    PYTHONPATH=. python benchmarks/many_sites.py --sites 500 --rounds 2 --out many-sites.json

A real server and ServerApp, as `murmura server start` runs them, on loopback. The sites are light
(tests/integration/faults/light_sites.py): they enrol, show a certificate each, sign as nodes, fetch
the bundle, and answer with the real ClientApp's messages, all in one process, which so takes the
larger part of the machine. Prints one JSON; ends with an error if a round lacks an answer.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from shared.config import Scalar
from tests.integration.faults.federation import Federation, federation
from tests.integration.faults.light_sites import LightSites
from tests.integration.faults.runs import Run, rounds_of

TICKS = os.sysconf("SC_CLK_TCK")


def config_of(sites: int, rounds: int, folder: Path) -> dict[str, Scalar]:
    """A tiny model, two examples a site, noise at the server."""
    return {
        "task": "digits", "rounds": rounds, "population.size": sites,
        "population.examples_per_client": 2, "training.batch_size": 2, "runtime.device": "cpu",
        "privacy.unit": "client", "privacy.epsilon_budget": 1000.0, "privacy.delta": 1e-4,
        "audit.canaries": 0, "output.run_id": "run", "output.tensorboard": False,
        "output.dir": str(folder / "runs"), "cohort.timeout_s": 600.0,
    }  # fmt: skip


def taken(running: Federation) -> dict[str, dict[str, float]]:
    """Peak memory and processor time of the server's processes, by what they are."""
    found = {}
    for pid, line in running.children("server").items():
        names = ("server.serving", "flower-superexec", "flwr-serverapp")
        name = next((name for name in names if name in line), "")
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if name and "VmHWM" in status:
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
            cpu = (int(times[11]) + int(times[12])) / TICKS
            found[name] = {"peak_mib": round(peak, 1), "cpu_s": round(cpu, 1)}
    return found


def measured(sites: int, rounds: int, folder: Path) -> dict[str, Any]:
    """One run."""
    clock, seconds = time.monotonic(), dict[str, float]()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.monotonic()
        seconds[name], clock = round(now - clock, 1), now

    with federation(folder, 0) as running:
        lap("start")
        light = LightSites(running.home, f"127.0.0.1:{running.port}", folder, sites)
        connections = light.enrol()
        lap("enrolments")
        light.start(connections)
        running.wait_for(lambda: len(light.online) == sites, 600.0)
        lap("all online")
        at_rest = taken(running)
        run = Run(running, config_of(sites, rounds, folder))
        peak = dict[str, dict[str, float]]()
        while not running.status(run.run_id).startswith("finished"):
            peak |= taken(running)
            time.sleep(2.0)
        lap("run")
        status = running.status(run.run_id)
        light.end()
        found = rounds_of(run.folder)
        answered = [line["answered"] for line in found]
        if status != "finished:completed" or answered != [sites] * rounds:
            log = run.folder / "log.txt"
            told = log.read_text()[-3000:] if log.exists() else ""
            raise SystemExit(f"{status}, answered {answered}, {light.errors}\n{told}")
    return {
        "sites": sites, "rounds": rounds, "seconds": seconds,
        "round_s": [round(line["seconds"], 2) for line in found],
        "server_at_rest": at_rest, "server_peak": peak, "errors_of_sites": light.errors,
    }  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        content = json.dumps(measured(given.sites, given.rounds, Path(folder)), indent=1)
    print(content)
    if given.out:
        given.out.write_text(content + "\n")


if __name__ == "__main__":
    main()
