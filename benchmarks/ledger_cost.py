"""What a charge costs: at a site, on disk and witnessed; and in a simulation of many clients.

    PYTHONPATH=. python benchmarks/ledger_cost.py --folder /var/tmp

Prints one JSON line: milliseconds of RESERVE (median, maximum) on the file system of `--folder`,
beside those of two bare fsyncs of as many bytes, which no durable ledger can beat; microseconds of
a virtual charge over 10,000 clients, one by one and all at once.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from dp_accounting import dp_event as dp

from client.ledger import Ledger
from client.ledger_state import Grant, Release
from client.virtual_ledgers import VirtualLedgers
from shared.dp.mechanisms import Adjacency
from shared.dp.renyi import RenyiBudget

CLIENTS = 10_000
EVENT = dp.PoissonSampledDpEvent(0.01, dp.GaussianDpEvent(1.0))


def release(round_number: int) -> Release:
    """One round of DP-SGD."""
    return Release(
        server="server", run_id="run", kind="train", round_number=round_number, attempt=1,
        plan_digest="ab" * 32, event=EVENT, unit="record",
        adjacency=Adjacency.ADD_OR_REMOVE_ONE,
    )  # fmt: skip


def bare(path: Path, length: int) -> float:
    """Seconds of two appended and synchronised writes."""
    started = time.perf_counter()
    for _ in range(2):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, b"x" * length)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - started


def site(folder: Path, charges: int) -> dict[str, float]:
    """Milliseconds of a durable charge, paired with bare writes."""
    grant = Grant(data_set="x", block="all", unit="record", epsilon=1e6, delta=1e-5)
    ledger = Ledger.create(folder / "ledger", grant)
    ours, theirs = [], []
    for number in range(1, charges + 1):
        started = time.perf_counter()
        ledger.reserve(release(number))
        ours.append(1e3 * (time.perf_counter() - started))
        theirs.append(1e3 * bare(folder / "bare", 1000))
    return {
        "reserve_ms_median": round(statistics.median(ours), 3),
        "reserve_ms_maximum": round(max(ours), 3),
        "two_fsyncs_ms_median": round(statistics.median(theirs), 3),
    }


def virtual(folder: Path) -> dict[str, float]:
    """Microseconds of a charge in a simulation."""
    ledgers = VirtualLedgers(folder / "virtual", CLIENTS, RenyiBudget(1e6, 1e-5))
    one, each = release(1), release(2)
    started = time.perf_counter()
    for index in range(CLIENTS):
        ledgers.reserve(index, one, repeatable=False)
    by_one = time.perf_counter() - started
    started = time.perf_counter()
    ledgers.reserve_each(np.arange(CLIENTS), each)
    together = time.perf_counter() - started
    return {
        "virtual_us_one_by_one": round(1e6 * by_one / CLIENTS, 2),
        "virtual_us_batched": round(1e6 * together / CLIENTS, 3),
    }


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--charges", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(site(Path(folder), options.charges) | virtual(Path(folder))))


if __name__ == "__main__":
    main()
