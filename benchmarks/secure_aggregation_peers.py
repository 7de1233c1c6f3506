"""What a round of our secure aggregation costs beside one of Flower's own SecAgg+.

    PYTHONPATH=. python benchmarks/secure_aggregation_peers.py --repeats 3 --out peers.json

Both sum the same float32 vectors (`tests/aggregation_peers.py`), all parties in one process and on
one core: CPU seconds of all of them, wall seconds, peak memory, bytes that a client sends. Each
measurement has a process of its own, the two sides by turns; imports and the vectors come before
its clock. Prints one JSON; ends with an error if a mean is not the mean. A ratio is Flower's median
over ours.

What is in a round. Flower's: its four stages, from fresh keys to the FedAvg of one vector, as its
records in memory (not their protobuf) over our in-process grid. Ours: the setup of a run, which
later rounds do not pay again, and one round from float32 to float64, each of its messages as the
bytes that travel. `ratios.protocol_cpu_s` leaves out on both sides what turns numbers into integers
and back: we rotate vectors before we round them, Flower does not.

What is protected. The ratio compares prices of different goods:

            ours                                       Flower 1.41
    masks   AES-256 in counter mode, 256-bit seeds     MT19937; 28 bits of a pair's seed vary
    keys    signed by enrolled identities              unsigned: the server may swap them
    server  may depart from the protocol; who          follows the protocol: a client answers a
            survived is checked before any answer      request that names a node alive and dropped
    graph   from a hash of the context                 chosen by the server, as is the threshold
    lost    in the whole of its one exchange           between the second stage and the fourth

Our degree and committee are those of a tenth corrupt and a tenth lost. Flower's num_shares is our
degree and one (a share stays at home), so that a client masks with as many others, and its
threshold more than half of the shares, the least at which no neighbourhood can be split into two
that answer differently. --shares 3 --threshold 2 is what Flower's example sets. Its num_examples
is its max_weight, so that it rounds as finely as it can. Our ring has 32 bits, as Flower's has;
--bits 0 is the ring that a run without noise chooses.
"""

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.aggregation_peers import Cost, Round, flower, murmura

SIDES = {"murmura": murmura, "flower": flower}
ROOT = Path(__file__).parents[1]
FIGURES = ("cpu_s", "protocol_cpu_s", "wall_s", "peak_mib", "round_mib", "upload_bytes")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def peak_mib() -> float:
    """Largest memory of this process so far."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measured(side: str, task: Round) -> dict[str, Any]:
    """What one round of `side` costs in this process, and whether its mean is the mean."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    cost, memory = Cost(), peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = SIDES[side](task, cost)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = peak_mib()
    sent = [size for position, size in cost.sent.items() if position not in task.lost]
    error = np.abs(outcome.mean - task.mean)
    return {
        "cpu_s": cpu,
        "protocol_cpu_s": cpu - cost.seconds["clients, encode"] - cost.seconds["server, decode"],
        "wall_s": wall,
        "peak_mib": peak,
        "round_mib": peak - memory,
        "upload_bytes": statistics.fmean(sent),
        "rms_error": float(np.sqrt(np.mean(error**2))),
        "right": bool(error.max() <= outcome.tolerance),
        "parameters": outcome.parameters,
        "parts_cpu_s": cost.seconds,
    }


def elsewhere(side: str, clients: int, lost: int, asked: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own."""
    options = {"clients": clients, "lost": lost, "dimension": asked.dimension} | given(asked)
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    single = {"PYTHONPATH": str(ROOT)} | dict.fromkeys(ONE_THREAD, "1")
    done = subprocess.run(  # noqa: S603 - this script
        [sys.executable, __file__, "--side", side, *flags],
        env=os.environ | single,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    print(side, clients, lost, {name: round(found[name], 3) for name in FIGURES}, file=sys.stderr)
    return found


def given(asked: argparse.Namespace) -> dict[str, int]:
    """Options of the protocols."""
    return {name: getattr(asked, name) for name in ("bits", "shares", "threshold")}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one side's repetitions: median, minimum and maximum; the rest is of the last."""
    figures = {
        name: {
            "median": round(statistics.median(run[name] for run in runs), 4),
            "min": round(min(run[name] for run in runs), 4),
            "max": round(max(run[name] for run in runs), 4),
        }
        for name in FIGURES
    }
    parts = {
        name: round(statistics.median(run["parts_cpu_s"][name] for run in runs), 4)
        for name in sorted(runs[-1]["parts_cpu_s"])
    }
    rest = {name: runs[-1][name] for name in ("rms_error", "parameters")}
    return figures | rest | {"right": all(run["right"] for run in runs), "parts_cpu_s": parts}


def compared(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Each size, with and without losses; all of them once before any is repeated."""
    cases = [
        (clients, lost)
        for clients in asked.clients
        for lost in sorted({max(1, int(clients * share)) if share else 0 for share in asked.lost})
    ]
    runs: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for _ in range(asked.repeats):
        for clients, lost in cases:
            for side in SIDES:
                found = elsewhere(side, clients, lost, asked)
                runs.setdefault((clients, lost, side), []).append(found)
    rows = []
    for clients, lost in cases:
        sides = {side: summary(runs[clients, lost, side]) for side in SIDES}
        ratios = {
            name: round(sides["flower"][name]["median"] / sides["murmura"][name]["median"], 3)
            for name in FIGURES
        }
        rows.append({"clients": clients, "lost": lost, **sides, "ratios": ratios})
    return rows


def machine() -> dict[str, Any]:
    """What it ran on."""
    named = Path("/proc/cpuinfo")
    lines = named.read_text().splitlines() if named.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system()}


def main() -> None:
    """Compare; or, with --side, measure one round and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[4, 20, 50])
    parser.add_argument("--lost", type=float, nargs="+", default=[0.0, 0.1], help="shares")
    parser.add_argument("--dimension", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a file for the JSON")
    parser.add_argument("--side", choices=SIDES, help="one round here, --lost so many clients")
    for option, default in (("bits", 32), ("shares", 0), ("threshold", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    asked = parser.parse_args()
    if asked.side:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        task = Round.of(asked.clients[0], asked.dimension, int(asked.lost[0]), **given(asked))
        print(json.dumps(measured(asked.side, task)))
        return
    rows = compared(asked)
    packages = {name: version(name) for name in ("flwr", "cryptography", "numpy")}
    report = {
        "dimension": asked.dimension, "repeats": asked.repeats, "options": given(asked),
        "versions": {"python": platform.python_version(), **packages}, "machine": machine(),
        "cases": rows,
    }  # fmt: skip
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))
    if not all(row[side]["right"] for row in rows for side in SIDES):
        sys.exit("a mean is not the mean")


if __name__ == "__main__":
    main()
