"""Whether a round takes longer where more clients are registered: two populations, round by round.

    python benchmarks/population.py --small 1000 --large 1000000 --rounds 300

One process for each; they wait for each other, so that a round of one and the next of the other
meet the same machine. Cohort, model and records are those of scaling.py. Printed: medians of
seconds and of processor seconds, the ratio of each pair's median with a 99 % interval (order
statistics, so whatever the distribution), and what the larger one holds more in memory. The bar:
1.1 and 200 MB.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from scaling import Records, resident_mib, settings
from scipy.stats import binom

from server.progress import RoundFinished, RunStarted
from simulations.federation import simulate

__all__ = ["Records"]  # the task of both, by the name that the configuration gives it
COHORT, WARM, LEVEL = 100, 20, 0.99


class InTurn(logging.Handler):
    """After each round: a line of figures, then wait for a line."""

    begun = (0.0, 0.0)

    def emit(self, record: logging.LogRecord) -> None:
        """Of a round; the first waits when the run begins."""
        event = getattr(record, "progress", None)
        if not isinstance(event, RunStarted | RoundFinished):
            return
        if isinstance(event, RoundFinished):
            print(json.dumps({
                "seconds": time.perf_counter() - self.begun[0],
                "processor_s": time.process_time() - self.begun[1],
                "clients": event.answered, "resident_mib": resident_mib(),
            }), flush=True)  # fmt: skip
        if not sys.stdin.readline():
            raise SystemExit
        self.begun = (time.perf_counter(), time.process_time())


def play(population: int, rounds: int) -> None:
    """One simulation, a round whenever it is told."""
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(InTurn())
    with tempfile.TemporaryDirectory() as folder:
        simulate(settings(population, COHORT, rounds) | {"output.dir": folder})


class Played:
    """A simulation in a process of its own."""

    def __init__(self, population: int, rounds: int) -> None:
        command = [sys.executable, __file__, "--play", str(population), "--rounds", str(rounds)]
        self._process = subprocess.Popen(  # noqa: S603 - ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.rounds: list[dict[str, float]] = []

    def turn(self) -> None:
        """One round."""
        words, lines = self._process.stdin, self._process.stdout
        if words is None or lines is None:
            raise RuntimeError("expected a process with pipes")
        words.write("go\n")
        words.flush()
        self.rounds.append(json.loads(lines.readline()))

    def end(self) -> None:
        """It ends with its last round."""
        self._process.communicate()


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Of their median, at LEVEL."""
    ordered = sorted(ratios)
    below = int(binom.ppf((1 - LEVEL) / 2, len(ordered), 0.5))
    return ordered[max(0, below - 1)], ordered[min(len(ordered), len(ordered) - below + 1) - 1]


def compared(small: Played, large: Played, figure: str) -> dict[str, Any]:
    """Medians and the pairs' ratio."""
    mine, theirs = ([each[figure] for each in one.rounds[WARM:]] for one in (small, large))
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    least, most = interval(ratios)
    return {
        "small_ms": round(1e3 * statistics.median(mine), 3),
        "large_ms": round(1e3 * statistics.median(theirs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "interval": [round(least, 3), round(most, 3)],
    }


def main() -> None:
    """One object of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--play", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.play:
        play(given.play, given.rounds)
        return
    small, large = Played(given.small, given.rounds), Played(given.large, given.rounds)
    for number in range(given.rounds):
        for one in (small, large) if number % 2 else (large, small):
            one.turn()
    more = large.rounds[-1]["resident_mib"] - small.rounds[-1]["resident_mib"]
    small.end()
    large.end()
    print(json.dumps({
        "small": given.small, "large": given.large, "rounds": given.rounds - WARM,
        "seconds": compared(small, large, "seconds"),
        "processor": compared(small, large, "processor_s"),
        "resident_mib_more": round(more, 1),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
