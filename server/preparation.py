"""What must hold before a run folder is made: a task, and a model fit for what is promised."""

from dataclasses import dataclass

import torch
from torch import nn

from server.robust.choice import robust_of
from shared.config import RunConfig
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, randomness_for
from shared.local_layers import split
from shared.model_check import check_fixed_parts, check_model
from shared.parameters import FlatVector, flattened, lay_aside
from shared.task import Task
from shared.tasks import load_task, task_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a run starts from.

    Attributes:
        task: Model, losses and public examples.
        model: With the run's initial parameters.
        randomness: Where the run's randomness comes from.
    """

    task: Task
    model: nn.Module
    randomness: Randomness


def prepare(config: RunConfig, plan: PrivacyPlan) -> Prepared:
    """The task and its model, checked on public examples; torch's own generator stays as it was.

    Raises:
        ConfigurationError: no such task, model or local layer, the model cannot be trained under
            `plan`, or the rule of aggregation does not go with it.
        DataError: the public examples are missing or corrupt.
    """
    robust_of(config, plan)
    randomness = randomness_for(config.seed)
    task = load_task(config.task, task_settings(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.stream("initial_parameters").integer())
        model = task.build_model()
    per_record = isinstance(plan.mechanism, RecordPrivacy)
    check_model(model, task.evaluation_data(), task.losses, per_record=per_record)
    check_fixed_parts(task.build_model)
    split(model, config.training.local_layers)
    return Prepared(task=task, model=model, randomness=randomness)


def shared_parameters(model: nn.Module, config: RunConfig) -> FlatVector:
    """What of `model` travels, shape (d,), float32; `model` is laid aside, until it is filled."""
    shared = split(model, config.training.local_layers).shared
    vector = flattened(shared)
    lay_aside(shared)
    return vector
