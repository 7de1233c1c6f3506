"""Whether anything grows while a federation runs round after round: memory, descriptors, threads.

    PYTHONPATH=. python benchmarks/soak.py --hours 2 --out soak.json

A real server and three sites' guards and workers on loopback, a tiny model, secure aggregation;
when a run is finished the next one begins. Every process is sampled (resident memory, open
descriptors, threads). A process that was there for the whole time grows where the slope over time
is positive beyond chance: a straight line is fitted to the medians of twelve equal parts of the
time after a warm-up, and t = slope / its standard error is compared with Student's t at --alpha,
one-sided and divided by the number of slopes looked at. Growth that would take less than --least of
the value in a day is no growth. Nothing disturbs this federation, so no request is refused and no
guard loses its connection: both are counted from the logs. Ends with status 1 where something grows
or was disturbed. With --samples, every sample is also a line of a file, so that a soak that was cut
short can be looked at.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from shared.config import Scalar
from tests.integration.faults.federation import Federation, federation
from tests.integration.faults.growth import Samples, judged
from tests.integration.faults.runs import Run, rounds_of

SITES = 3
NAMES = ("server.serving", "server.service", "flower-superexec", "client start", "client.worker")


def figures_of(pid: int) -> dict[str, float]:
    """Of one process; OSError where it is gone."""
    place = Path(f"/proc/{pid}")
    pages = int((place / "statm").read_text().split()[1])
    threads = int((place / "status").read_text().split("Threads:")[1].split()[0])
    return {
        "resident_mib": pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
        "descriptors": float(len(list((place / "fd").iterdir()))),
        "threads": float(threads),
    }


def sampled(running: Federation, samples: Samples, now: float, kept: Path | None) -> None:
    """One more sample of every process that is of the federation."""
    lines = []
    for owner in running.processes:
        own = {
            running.processes[owner].pid: "server.service" if owner == "server" else "client start"
        }
        for pid, line in (own | running.children(owner)).items():
            name = next((name for name in NAMES if name in line), "")
            if not name:
                continue
            try:
                figures = figures_of(pid)
            except OSError:
                continue
            process = f"{owner}: {name} ({pid})"
            samples.setdefault(process, []).append((now, figures))
            lines.append(json.dumps({"at": round(now, 1), "process": process} | figures))
    if kept:
        with kept.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)


def config_of(folder: Path, number: int) -> dict[str, Scalar]:
    """Of one run, a hundred rounds under masks."""
    return {
        "task": "digits", "rounds": 100, "seed": "os", "population.size": SITES,
        "population.examples_per_client": 60, "training.batch_size": 10, "runtime.device": "cpu",
        "privacy.noise": "distributed", "privacy.noise_multiplier": 20.0, "privacy.delta": 1e-5,
        "privacy.epsilon_budget": 1e3, "audit.canaries": 0, "output.tensorboard": False,
        "output.dir": str(folder / "runs"), "output.run_id": f"run{number}",
        "cohort.timeout_s": 120.0, "runtime.evaluate_every": 10,
    }  # fmt: skip


def disturbed(folder: Path) -> dict[str, int]:
    """How many requests the server refused, and how often a guard lost its connection."""
    logs = {"refused": "home/logs/serving.log*", "reconnected": "site*/logs/guard.log*"}
    said = {"refused": ("refused ",), "reconnected": ("not connected", "refused by the server")}
    found = dict.fromkeys(logs, 0)
    for kind, pattern in logs.items():
        for path in folder.glob(pattern):
            for line in path.read_text().splitlines():
                found[kind] += str(json.loads(line)["event"]).startswith(said[kind])
    return found


def soaked(
    folder: Path, seconds: float, every_s: float, kept: Path | None
) -> tuple[Samples, int, dict[str, int]]:
    """Samples over so many seconds, how many rounds were played, and what disturbed them."""
    samples: Samples = {}
    rounds, number = 0, 0
    with federation(folder, SITES) as running:
        for index in range(SITES):
            running.start_guard(index)
        started = time.monotonic()
        while (now := time.monotonic() - started) < seconds:
            run = Run(running, config_of(folder, number))
            status = "unknown"
            while now < seconds and not status.startswith("finished"):
                sampled(running, samples, now, kept)
                time.sleep(every_s)
                now, status = time.monotonic() - started, running.status(run.run_id)
            if status.startswith("finished") and status != "finished:completed":
                raise SystemExit(f"{status}\n{running.logs()}")
            rounds += len(rounds_of(run.folder))
            number += 1
        found = disturbed(folder)
    return samples, rounds, found


def main() -> int:
    """Run, judge, print, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--alpha", type=float, default=1e-3)
    parser.add_argument("--least", type=float, default=0.1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--samples", type=Path)
    given = parser.parse_args()
    seconds = given.hours * 3600
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of what stops the processes
    with tempfile.TemporaryDirectory() as folder:
        samples, rounds, events = soaked(Path(folder), seconds, given.every, given.samples)
    found = judged(samples, seconds / 4, seconds, (given.alpha, given.least))
    growing = [entry for entry in found if entry["grows"]]
    content = {"hours": given.hours, "rounds": rounds, **events, "grows": growing, "all": found}
    print(json.dumps(content, indent=1))
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if growing or not found or any(events.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
