"""What must hold of every task over sequences: parity with plain torch, and nothing untrained."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.config import Scalar
from shared.dp.randomness import SeededRandomness
from shared.task import Examples, Site, Task, TaskSettings
from shared.tasks import load_task
from simulations.federation import simulate

SEED, ROUNDS, STEPS = 5, 2, 3


def initial(task: Task) -> nn.Module:
    """The model that a run seeded with `SEED` begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SeededRandomness(SEED).stream("initial_parameters").integer())
        return task.build_model()


def assert_a_run_of_one_is_plain_training(
    name: str, folder: Path, out: Path, keys: Mapping[str, Scalar]
) -> None:
    """One client, asked in each round, without privacy: the numbers of a loop over torch's SGD.

    And each trainable tensor is another one after the first step.
    """
    config: dict[str, Scalar] = {
        "task": name, "data.dir": str(folder), "rounds": ROUNDS, "seed": SEED,
        "population.size": 1, "population.examples_per_client": 0, "privacy.unit": "none",
        "training.steps": STEPS, "training.batch_size": 10_000,
        "server.momentum": 0.0, "output.dir": str(out), "output.tensorboard": False,
        "runtime.device": "cpu",
    }  # fmt: skip
    found = load_file(simulate(config | dict(keys)) / "model.safetensors")
    model_name, rate = str(keys.get("model", "")), float(keys["training.learning_rate"])
    task = load_task(name, TaskSettings(model=model_name, data_dir=folder))
    model = initial(task)
    examples = task.site_data(Site(index=0, partition=None))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    stepped(task, model, examples, steps=1, rate=rate)
    for key, value in model.state_dict().items():
        assert not torch.equal(before[key], value), f"{key} is not trained"
    stepped(task, model, examples, steps=ROUNDS * STEPS - 1, rate=rate)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(found[key], value, atol=2e-5, rtol=1e-4)


def stepped(task: Task, model: nn.Module, examples: Examples, *, steps: int, rate: float) -> None:
    """Plain gradient descent on all of `examples`."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        task.losses(model(*examples.inputs), examples.targets).mean().backward()
        optimizer.step()


def learnt(task: Task, examples: Examples, *, steps: int, rate: float = 0.01) -> nn.Module:
    """A model after so many steps of Adam on all of `examples`."""
    model = initial(task)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        task.losses(model(*examples.inputs), examples.targets).mean().backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def scores(task: Task, model: nn.Module, examples: Examples) -> Mapping[str, float]:
    """Means over examples, as the server takes them."""
    found = task.metrics(model(*examples.inputs), examples.targets)
    return {key: _mean(values, len(examples)) for key, values in found.items()}


def _mean(values: Tensor, count: int) -> float:
    assert values.shape == (count,)
    return float(values.mean()) if values.isfinite().all() else pytest.fail("not finite")
