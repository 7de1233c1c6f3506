"""Every task, without DP and with it, as docs/results.md shows them: one row each.

    PYTHONPATH=. python benchmarks/tasks.py --out tasks.json --table tasks.md
    PYTHONPATH=. python benchmarks/tasks.py image_gan tabular
    PYTHONPATH=. python benchmarks/tasks.py --runs FOLDER    # a run that is finished there is kept

Runs `murmura simulate --config examples/tasks/NAME.toml` and, where there is one, NAME-plain.toml,
each in a process of its own, one after the other. What is shown is the last evaluation on public
data. The settings of both were chosen by looking at such evaluations, which costs no site anything
and makes the figures as good as settings can be made.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from murmura.wording import epsilon_text

EXAMPLES = Path(__file__).parents[1] / "examples" / "tasks"
PLAIN = "-plain"
SHOWN = {
    "recommendation": "rmse", "recommendation-neural": "rmse", "image_gan": "frechet",
    "detection": "map50", "personal": "private_accuracy",
}  # fmt: skip


def played(config: Path, folder: Path) -> dict[str, Any]:
    """The summary of one run; one of that name that is finished in `folder` is not made again."""
    summary = folder / config.stem / "summary.json"
    if summary.exists():
        finished: dict[str, Any] = json.loads(summary.read_text())
        return finished
    command = [
        sys.executable, "-m", "murmura", "simulate", "--config", str(config), "--quiet", "--json",
        "--out", str(folder), "--run-id", config.stem,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise SystemExit(f"{config.name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def figure(summary: dict[str, Any], metric: str) -> float | None:
    """Of the end of a run; what sites told of themselves, with noise, where nobody else can."""
    if metric != "private_accuracy":
        found: float | None = summary["metrics"].get(metric)
        return found
    lines = (Path(summary["run_folder"]) / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line)["private_accuracy"] for line in lines]
    return next((value for value in reversed(told) if value is not None), None)


def row_of(name: str, folder: Path) -> dict[str, Any]:
    """Both runs of one example."""
    private = played(EXAMPLES / f"{name}.toml", folder)
    config = json.loads((Path(private["run_folder"]) / "config.json").read_text())
    plain_file = EXAMPLES / f"{name}{PLAIN}.toml"
    plain = played(plain_file, folder) if plain_file.exists() else None
    claims = [claim for claim in private["claims"] if claim["adversary"] == "released_model"]
    metric = SHOWN.get(name, "accuracy")
    return {
        "example": name,
        "task": private["task"],
        "model": private["model"],
        "unit": claims[0]["unit"],
        "epsilon": claims[0]["epsilon"],
        "delta": claims[0]["delta"],
        "clients": config["population.size"]["value"],
        "metric": metric,
        "private": figure(private, metric),
        "plain": None if plain is None else figure(plain, metric),
        "metrics": private["metrics"],
        "plain_metrics": None if plain is None else plain["metrics"],
        "seconds": private["seconds"],
        "plain_seconds": None if plain is None else plain["seconds"],
    }


def shown(value: float | None) -> str:
    """Three digits."""
    return "-" if value is None else f"{value:.3f}"


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| example | task, model | unit, clients | figure | without DP | at (ε, δ) | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"{row['task']} {row['model']}".strip()
        at = f"{shown(row['private'])} at ({epsilon_text(row['epsilon'])}, {row['delta']:g})"
        lines.append(
            f"| `{row['example']}` | {name} | {row['unit']}, {row['clients']} | {row['metric']} | "
            f"{shown(row['plain'])} | {at} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Play, print, write after each row."""
    known = sorted(path.stem for path in EXAMPLES.glob("*.toml") if PLAIN not in path.stem)
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", default=known, choices=[*known, []])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.names:
            rows.append(row_of(name, given.runs or Path(folder)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1) + "\n")
            if given.table:
                given.table.write_text(table(rows))


if __name__ == "__main__":
    main()
