"""Training of a whole pool by one client, by the trainer of the deployed app and by bare torch."""

from collections.abc import Mapping

import numpy as np
import torch

from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.parameters import FlatVector, flatten, load
from shared.task import Examples, Task

CPU = torch.device("cpu")


def started(task: Task) -> FlatVector:
    """The first global parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return flatten(task.build_model())


def federated(task: Task, data: Examples, keys: Mapping[str, Scalar], rounds: int) -> FlatVector:
    """Global parameters after rounds in which one client holds all data, without privacy."""
    config = RunConfig.from_run_config({"privacy.unit": "none", **keys})
    trainer = LocalTraining(config, task, PrivacyPlan.from_config(config), CPU)
    found = started(task)
    for number in range(1, rounds + 1):
        found = found + trainer.update(
            found,
            data,
            randomness=SeededRandomness(7),
            round_number=number,
            attempt=1,
            client_id="site-000000",
        ).astype(np.float32)
    return found


def plain(task: Task, data: Examples, rate: float, steps: int) -> FlatVector:
    """The same by a bare loop over the whole data."""
    model = task.build_model()
    load(model, started(task))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        task.losses(model(*data.inputs), data.targets).mean().backward()
        optimizer.step()
    return flatten(model)


def moved_tensors(task: Task, data: Examples, rate: float) -> list[bool]:
    """Of each trainable tensor, whether one step changed it."""
    model = task.build_model()
    load(model, started(task))
    before = [weight.detach().clone() for weight in model.parameters()]
    load(model, plain(task, data, rate, 1))
    return [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]


@torch.no_grad()
def scores(task: Task, parameters: FlatVector) -> dict[str, float]:
    """Mean metrics on the public examples."""
    model = task.build_model().eval()
    load(model, parameters)
    public = task.evaluation_data()
    outputs = model(*public.inputs)
    found = task.metrics(outputs, public.targets)
    return {name: float(values.mean()) for name, values in found.items()}
