"""What local layers are worth: each client's own model on public records of the kinds it holds.

    python benchmarks/personal.py [FOLDER]

Plays examples/tasks/personal.toml, its plain twin, and both without local layers (one model for
all), and prints one JSON object: accuracy over clients, on average, each of its own classes as
often as it has them. Only a simulation can do this:
it has all clients' files. Nobody who takes part in a real run could.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from client.memory import LOCAL, Memory
from client.site import ThisSite, demonstration_name
from murmura.settings import read_file
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.local_layers import split
from shared.parameters import fill
from shared.partition import partition_spec
from shared.task import Site
from shared.tasks import load_task, task_settings
from simulations.federation import simulate

EXAMPLES = Path(__file__).parents[1] / "examples" / "tasks"
QUIET = {"output.tensorboard": False}


def own_accuracy(folder: Path, config: RunConfig) -> float:
    """Of each client's own model, on average."""
    task, plan = load_task(config.task, task_settings(config)), PrivacyPlan.from_config(config)
    public, found = task.evaluation_data(), []
    for index in range(config.population.size):
        model = task.build_model().eval()
        named = dict(model.named_parameters())
        for name, tensor in load_file(folder / "model.safetensors").items():
            named[name].data.copy_(tensor)
        site = Site(index=index, partition=partition_spec(config.population))
        if layers := config.training.local_layers:
            whose = ThisSite(
                client_id=demonstration_name(index), site=site, data_dir=None,
                memory=folder / "clients",
            )  # fmt: skip
            kept = Memory.of(whose, plan, config.output.run_id).latest()
            fill(split(model, layers).local, kept[LOCAL])
        # Each class counts as often as the client has it: a shard may begin with a few of another.
        held = torch.bincount(task.site_data(site).targets, minlength=10).float()
        shares = held / held.sum() / torch.bincount(public.targets, minlength=10)
        with torch.no_grad():
            right = task.metrics(model(*public.inputs), public.targets)["accuracy"]
        found.append((right * shares[public.targets]).sum())
    return float(torch.stack(found).mean())


def main(folder: Path) -> dict[str, Any]:
    """All four."""
    figures = {}
    for name in ("personal", "personal-plain"):
        for layers in ("own", "common"):
            run_id = f"{name}-{layers}"
            raw = read_file(EXAMPLES / f"{name}.toml") | QUIET
            raw |= {"output.dir": str(folder), "output.run_id": run_id}
            raw |= {} if layers == "own" else {"training.local_layers": ""}
            found = simulate(raw)
            figures[run_id] = round(own_accuracy(found, RunConfig.from_run_config(raw)), 4)
    return figures


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    print(json.dumps(main(place)))
