"""Seconds a round of Murmura, pfl-research, Flower on Ray and a bare torch loop, in turn.

    python benchmarks/speed.py cnn --turns 8 --out speed-cnn.json
    python benchmarks/speed.py mlp --turns 20 --without flower --html speed.html
    python benchmarks/speed.py mlp --turns 20 --rounds 10 --without flower

Each runs in an environment of its own, which is made where it is missing (--environments), and as
one process that waits while the others have their turn: A B C A B C. pfl and the bare loop run with
one torch thread and with all; Murmura and Ray use all cores as they do by default. Cohorts of
Murmura are Poisson draws, so seconds are for a cohort of the mean size. What is the same: model,
data, batch, one local epoch, a clipped update for each client, Gaussian noise on the sum. The first
turns, in which everything is built, are not counted. A turn is one round, or --rounds of them: a
round of some milliseconds right after another program's turn finds cold caches and sleeping
threads, which nobody has who simulates.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

HERE = Path(__file__).parent
PEERS = HERE / "peers"
COHORTS = {"cnn": 50, "mlp": 100}
TORCH = next(
    line
    for line in (HERE.parent / "constraints.txt").read_text().splitlines()
    if line.startswith("torch==")
)
NEEDS = {
    "pfl": (TORCH, "pfl==0.6.0", "numpy"),
    "flower": (TORCH, "flwr[simulation]==1.41.0", "numpy"),
}
CORES = os.cpu_count() or 1


def environment(name: str, folder: Path) -> str:
    """The Python of a peer, installed if need be."""
    if name == "murmura":
        return sys.executable
    place = folder / name
    if not (place / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)  # noqa: S603
        for need in NEEDS[name]:
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", need]
            subprocess.run(pip, check=True)  # noqa: S603
        (place / "installed").touch()
    return str(place / "bin" / "python")


def programs(work: str, folder: Path, without: set[str]) -> dict[str, list[str]]:
    """Name -> command."""
    found = {"murmura": ["murmura", "murmura_rounds.py", work, "auto"]}
    for threads in sorted({1, CORES}):
        words = f"{threads} thread{'s' * (threads > 1)}"
        found[f"bare torch, {words}"] = ["murmura", "bare_torch.py", work, str(threads)]
        found[f"pfl, {words}"] = ["pfl", "pfl_research.py", work, str(threads)]
    found["flower, ray"] = ["flower", "flower_ray.py"]
    return {
        name: [environment(own, folder), str(PEERS / script), *rest]
        for name, (own, script, *rest) in found.items()
        if name.split(",")[0] not in without
    }


class Peer:
    """A program that waits for its turns."""

    def __init__(self, command: list[str], work: str) -> None:
        paths = (
            f"{PEERS}{os.pathsep}{HERE.parent}" if "murmura_rounds" in command[1] else str(PEERS)
        )
        variables = {"PYTHONPATH": paths, "MURMURA_WORK": work, "FLWR_TELEMETRY_ENABLED": "0"}
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, **variables, "RAY_USAGE_STATS_ENABLED": "0"},
        )  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("expected pipes to the program, got none")
        self._words, self._lines = self._process.stdin, self._process.stdout
        self.seconds: list[float] = []
        self.peak_mib = 0.0
        self._read()

    def _read(self) -> dict[str, float]:
        line = self._lines.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        told: dict[str, float] = json.loads(line)
        return told

    def _say(self, word: str) -> None:
        self._words.write(word + "\n")
        self._words.flush()

    def turn(self, cohort: int) -> float:
        """One round; its seconds, for a cohort of this size."""
        self._say("go")
        told = self._read()
        self.peak_mib = told["peak_mib"]
        self.seconds.append(told["seconds"] * cohort / max(1.0, told["clients"]))
        return self.seconds[-1]

    def stop(self) -> None:
        """Let it end."""
        self._say("stop")
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()


def played(peers: Mapping[str, Peer], turns: int, few: int, rounds: int, cohort: int) -> None:
    """All in turn; of Flower on Ray, whose rounds take half a minute, `few` turns of one."""
    for turn in range(turns):
        told = []
        for name, peer in peers.items():
            if "ray" in name and turn >= few:
                continue
            count = 1 if "ray" in name else rounds
            seconds = statistics.median(peer.turn(cohort) for _ in range(count))
            told.append(f"{name} {seconds:.4f}")
        print(f"turn {turn + 1}: " + ", ".join(told), flush=True)


def summary(peers: Mapping[str, Peer], skip: int) -> dict[str, object]:
    """Medians over rounds, extremes, and ratios of medians to Murmura's; the first left out."""
    kept = {name: peer.seconds[min(skip, len(peer.seconds) - 1) :] for name, peer in peers.items()}
    medians = {name: statistics.median(seconds) for name, seconds in kept.items()}
    best: dict[str, float] = {}
    for name, value in medians.items():
        kind = name.split(",")[0]
        best[kind] = min(value, best.get(kind, value))
    ours = medians["murmura"]
    return {
        "median_s": {name: round(value, 5) for name, value in medians.items()},
        "least_s": {name: round(min(seconds), 5) for name, seconds in kept.items()},
        "most_s": {name: round(max(seconds), 5) for name, seconds in kept.items()},
        "rounds": {name: len(seconds) for name, seconds in kept.items()},
        "peak_mib": {name: round(peer.peak_mib) for name, peer in peers.items()},
        "best_over_murmura": {
            kind: round(value / ours, 2) for kind, value in best.items() if kind != "murmura"
        },
    }


def drawn(work: str, result: Mapping[str, dict[str, float]], path: Path) -> None:
    """A page with one bar for each program, from the least to the most."""
    medians = result["median_s"]
    names = list(medians)
    bars = go.Bar(
        x=[medians[name] for name in names], y=names, orientation="h",
        error_x={
            "array": [result["most_s"][n] - medians[n] for n in names],
            "arrayminus": [medians[n] - result["least_s"][n] for n in names],
        },
    )  # fmt: skip
    figure = go.Figure(bars)
    figure.update_layout(
        title=f"{work}: seconds a round", xaxis_type="log", template="plotly_white"
    )
    figure.write_html(path, include_plotlyjs=True)


def main() -> None:
    """Print each turn, and one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("work", choices=list(COHORTS))
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--ray-turns", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="of each turn")
    parser.add_argument("--skip", type=int, default=2, help="turns that warm up")
    parser.add_argument("--without", nargs="*", default=[], help="murmura's peers to leave out")
    parser.add_argument("--environments", type=Path, default=Path("build/environments"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--html", type=Path)
    given = parser.parse_args()
    given.environments.mkdir(parents=True, exist_ok=True)
    commands = programs(given.work, given.environments.resolve(), set(given.without))
    peers = {name: Peer(command, given.work) for name, command in commands.items()}
    try:
        played(peers, given.turns, given.ray_turns, given.rounds, COHORTS[given.work])
    finally:
        for peer in peers.values():
            peer.stop()
    machine = f"{platform.machine()}, {CORES} cores, Python {platform.python_version()}, {TORCH}"
    result = {"work": given.work, "machine": machine} | summary(peers, given.skip * given.rounds)
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.html:
        drawn(given.work, result, given.html)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
