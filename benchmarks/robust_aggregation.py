"""Accuracy of each rule of `server.aggregation` under each attack: the table of docs/robust.md.

    PYTHONPATH=. python benchmarks/robust_aggregation.py --seeds 3 --attackers 5

Digits, 24 clients, of whom the first `--attackers` are false, which the server is told; by default
nobody is put in quarantine, so that the rule alone is seen. In a cell: accuracy on the 297 public
images, mean over seeds; behind the bar of `backdoor` the share of other digits that the trigger
turns into a 0; a star where an honest client was put in quarantine. With `--unit record` every
site adds its noise (epsilon 8 in 60 steps). Prints Markdown, then one JSON line.
"""

import argparse
import json
import logging
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from client.app import app as honest
from shared.config import Scalar
from shared.errors import ConfigurationError, TooFewSurvivors
from shared.task import TaskSettings
from shared.tasks.digits import Digits
from simulations.attacks import FORGERIES, POISONS, TARGET, Attackers, triggered
from simulations.federation import simulate

RULES = (
    "mean", "median", "trimmed_mean", "krum", "multi_krum", "bulyan", "centred_clipping",
    "norm_bound",
)  # fmt: skip
ATTACKS = ("none", *FORGERIES, *POISONS)
BASE: dict[str, Scalar] = {
    "task": "digits", "population.size": 24, "population.examples_per_client": 62,
    "server.momentum": 0.0, "audit.canaries": 0,
    "output.tensorboard": False, "runtime.device": "cpu", "runtime.evaluate_every": 1000,
}  # fmt: skip
UNITS: dict[str, dict[str, Scalar]] = {
    "none": {
        "privacy.unit": "none", "rounds": 20, "training.steps": 0, "training.epochs": 2,
        "training.batch_size": 15, "training.learning_rate": 0.2,
    },
    "record": {
        "privacy.unit": "record", "rounds": 60, "training.steps": 1, "training.batch_size": 20,
        "training.sample_rate": 0.33, "training.learning_rate": 2.0, "privacy.clipping_norm": 0.5,
        "privacy.noise_multiplier": 2.6, "privacy.epsilon_budget": 8.5,
    },
}  # fmt: skip


def played(folder: Path, config: dict[str, Scalar], attack: str, attackers: int) -> dict[str, Any]:
    """Accuracy, the backdoor's success, and who was put in quarantine."""
    clients: Any = honest
    if attack in FORGERIES:
        clients = Attackers(honest, attackers, FORGERIES[attack])
    elif attack in POISONS:
        config = config | {"task": POISONS[attack], "data.name": str(attackers)}
    try:
        run = simulate(config | {"output.dir": str(folder)}, clients=clients)
    except (ConfigurationError, TooFewSurvivors) as error:
        return {"accuracy": 0.0, "backdoor": 0.0, "out": [], "refused": str(error)}
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "accuracy": last["accuracy"],
        "backdoor": backdoor(run / "model.safetensors"),
        "out": last["quarantined"],
    }


def backdoor(model_file: Path) -> float:
    """Share of the public images of other digits that the trigger turns into the target."""
    task = Digits(TaskSettings())
    model = task.build_model()
    model.load_state_dict(load_file(model_file))
    examples = task.evaluation_data()
    others = examples.select(torch.nonzero(examples.targets != TARGET).flatten())
    with torch.no_grad():
        found = model(*triggered(others).inputs).argmax(1)
    return float((found == TARGET).float().mean())


def cell(attack: str, runs: list[dict[str, Any]], attackers: int) -> str:
    """Means over seeds."""
    if any("refused" in run for run in runs):
        return "refused"
    accuracy = statistics.mean(run["accuracy"] for run in runs)
    false = {f"site-{number:06d}" for number in range(attackers)} if attack != "none" else set()
    star = "*" if any(set(run["out"]) - false for run in runs) else ""
    success = statistics.mean(run["backdoor"] for run in runs)
    return f"{accuracy:.2f}{star}" + (f" \\| {success:.2f}" if attack == "backdoor" else "")


def rows(arguments: argparse.Namespace, found: list[dict[str, Any]]) -> Iterator[str]:
    """The table, a row as soon as it is known."""
    yield "| rule | " + " | ".join(ATTACKS) + " |"
    yield "|---|" + "---|" * len(ATTACKS)
    for rule in RULES:
        cells = []
        for attack in ATTACKS:
            runs = []
            for seed in range(arguments.seeds):
                config = BASE | UNITS[arguments.unit] | {"server.aggregation": rule, "seed": seed}
                config |= {
                    "population.partition": arguments.partition,
                    "population.partition_seed": seed,
                    "population.alpha": arguments.alpha,
                    "server.byzantine": float(arguments.attackers),
                    "server.strikes": arguments.strikes,
                }
                with tempfile.TemporaryDirectory() as folder:
                    run = played(Path(folder), config, attack, arguments.attackers)
                runs.append(run)
                found.append({"rule": rule, "attack": attack, "seed": seed, **run})
            cells.append(cell(attack, runs, arguments.attackers))
        yield f"| `{rule}` | " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line, print the table and all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--attackers", type=int, default=5)
    parser.add_argument("--strikes", type=int, default=0)
    parser.add_argument("--unit", choices=UNITS, default="none")
    parser.add_argument("--partition", choices=("iid", "dirichlet"), default="iid")
    parser.add_argument("--alpha", type=float, default=0.5)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    found: list[dict[str, Any]] = []
    for row in rows(arguments, found):
        print(row, flush=True)
    print(json.dumps({**vars(arguments), "runs": found}))


if __name__ == "__main__":
    main()
