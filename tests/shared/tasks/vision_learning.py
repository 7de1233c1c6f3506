"""What every image task must do: plain training where there is one client, and all of it moves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from client.per_record import PerRecord, chosen
from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.model_check import check_fixed_parts, check_model
from shared.parameters import FlatVector, flatten, load, trainable
from shared.task import Examples, Task
from simulations.federation import simulate

CPU = torch.device("cpu")
STEPS, RATE = 3, 0.05


def start(task: Task) -> FlatVector:
    """Initial parameters, the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return flatten(task.build_model())


def federated(task: Task, examples: Examples, changes: Mapping[str, Scalar]) -> FlatVector:
    """The update of one client in one round of full batches."""
    keys: dict[str, Scalar] = {
        "privacy.unit": "none",
        "training.steps": STEPS,
        "training.batch_size": len(examples),
        "training.learning_rate": RATE,
    }
    config = RunConfig.from_run_config(keys | dict(changes))
    trainer = LocalTraining(config, task, PrivacyPlan.from_config(config), CPU)
    found = trainer.update(
        start(task),
        examples,
        randomness=SeededRandomness(7),
        round_number=1,
        attempt=1,
        client_id="site-000000",
    )
    return found.astype(np.float32, copy=False)


def plain(task: Task, examples: Examples) -> FlatVector:
    """The same of a bare torch loop."""
    with torch.random.fork_rng(devices=[]):
        model = task.build_model()
    load(model, start(task))
    optimizer = torch.optim.SGD(trainable(model), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        task.losses(model(*examples.inputs), examples.targets).mean().backward()
        optimizer.step()
    moved: FlatVector = flatten(model) - start(task)
    return moved


def unmoved(task: Task, update: FlatVector) -> list[str]:
    """Names of parameters of which not one number changed."""
    with torch.random.fork_rng(devices=[]):
        model = task.build_model()
    load(model, update)
    return [name for name, p in model.named_parameters() if p.requires_grad and not p.any()]


def check_plain_training(task: Task, examples: Examples, *, still: str = "none") -> None:
    """One client without privacy is bare torch; one step moves every tensor not named `still`..."""
    found, expected = federated(task, examples, {}), plain(task, examples)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    names = [name for name, _ in task.build_model().named_parameters() if name.startswith(still)]
    assert unmoved(task, federated(task, examples, {"training.steps": 1})) == names


def check_private_training(task: Task, examples: Examples) -> PerRecord:
    """The model is fit for both units; returns the way in which its records are clipped.

    With q = 1, a clip that bounds nothing and next to no noise, record level is bare torch too.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.build_model()
    load(model, start(task))
    check_fixed_parts(task.build_model)
    for per_record in (True, False):
        check_model(model, task.evaluation_data(), task.losses, per_record=per_record)
    keys: dict[str, Scalar] = {
        "privacy.unit": "record",
        "training.sample_rate": 1.0,
        "privacy.clipping_norm": 1e4,
        "privacy.noise_multiplier": 1e-9,
        "privacy.epsilon_budget": 1e30,
    }
    found, expected = federated(task, examples, keys), plain(task, examples)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()
    return chosen(model, lambda m, b: task.losses(m(*b.inputs), b.targets), examples, 1.0)


def summary(folder: Path, keys: Mapping[str, Scalar]) -> dict[str, Any]:
    """Of a simulated run."""
    common: dict[str, Scalar] = {
        "seed": 1,
        "output.dir": str(folder),
        "output.run_id": "run",
        "output.tensorboard": False,
        "audit.canaries": 0,
        "runtime.evaluate_every": 1000,
    }
    path = simulate(common | dict(keys))
    found: dict[str, Any] = json.loads((path / "summary.json").read_text())
    return found
