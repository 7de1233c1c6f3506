"""What holds of every task of texts: a run of one is plain training, and all of it is trained."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.parameters import flatten, load, trainable
from shared.task import Examples, Site, Task
from shared.tasks import load_task, task_settings
from simulations.federation import simulate

SEED, ROUNDS, STEPS, RATE = 5, 2, 3, 0.5
PLAIN: dict[str, Scalar] = {
    "rounds": ROUNDS, "seed": SEED, "population.size": 1, "population.examples_per_client": 0,
    "privacy.unit": "none", "training.steps": STEPS, "training.batch_size": 10_000,
    "training.learning_rate": RATE, "server.momentum": 0.0, "output.tensorboard": False,
    "runtime.device": "cpu",
}  # fmt: skip


def initial(task: Task) -> nn.Module:
    """The model that a run seeded with `SEED` begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SeededRandomness(SEED).stream("initial_parameters").integer())
        return task.build_model()


def assert_a_run_of_one_is_plain_training(out: Path, keys: Mapping[str, Scalar]) -> None:
    """One client, asked in each round, without privacy: the numbers of a loop over torch's SGD."""
    raw = PLAIN | dict(keys) | {"output.dir": str(out)}
    config = RunConfig.from_run_config(raw)
    found = load_file(simulate(raw) / "model.safetensors")
    task = load_task(config.task, task_settings(config))
    model = initial(task)
    examples = task.site_data(Site(index=0, partition=None))
    descend(task, model, examples, rate=config.training.learning_rate)
    compared = 0
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            torch.testing.assert_close(found[name], weight.detach(), atol=2e-5, rtol=1e-4)
            compared += 1
    assert compared > 1


def descend(task: Task, model: nn.Module, examples: Examples, *, rate: float) -> None:
    """Plain gradient descent on all of `examples`, as many steps as in a run."""
    optimizer = torch.optim.SGD(trainable(model), lr=rate)
    for _ in range(ROUNDS * STEPS):
        optimizer.zero_grad()
        task.losses(model(*examples.inputs), examples.targets).mean().backward()
        optimizer.step()


def untouched_by_a_private_step(task: Task, examples: Examples) -> list[str]:
    """Trainable tensors that one step of DP-SGD leaves as they were, with the noise at nothing."""
    config = RunConfig.from_run_config(
        {
            "privacy.unit": "record", "privacy.noise_multiplier": 1e-12, "training.steps": 1,
            "privacy.clipping_norm": 1.0, "training.sample_rate": 1.0,
            "training.batch_size": len(examples), "training.learning_rate": RATE,
            "privacy.epsilon_budget": 1e300,
        }
    )  # fmt: skip
    trainer = LocalTraining(config, task, PrivacyPlan.from_config(config), torch.device("cpu"))
    model = initial(task)
    update = trainer.update(
        flatten(model), examples, randomness=SeededRandomness(7), round_number=1, attempt=1,
        client_id="site-000000",
    )  # fmt: skip
    load(model, update.astype(np.float32))
    moved = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    # The noise alone moves a number by less than 1e-10.
    return [name for name, weight in moved.items() if float(weight.detach().abs().max()) < 1e-8]


def learnt(task: Task, examples: Examples, *, steps: int, rate: float) -> nn.Module:
    """A model after so many steps of Adam on all of `examples`."""
    model = initial(task)
    optimizer = torch.optim.Adam(trainable(model), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        task.losses(model(*examples.inputs), examples.targets).mean().backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(task: Task, model: nn.Module, examples: Examples) -> float:
    """As the server measures it."""
    found = task.metrics(model(*examples.inputs), examples.targets)["accuracy"]
    assert found.shape == (len(examples),)
    return float(found.mean())


def majority(examples: Examples) -> float:
    """The share of the commonest label."""
    return float(examples.targets.bincount().max()) / len(examples)
