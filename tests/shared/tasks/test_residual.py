"""The residual network: fit for both units of privacy, bare torch for one client, and it learns."""

from pathlib import Path

import pytest
import torch

from client.per_record import ByBookKeeping
from shared.config import Scalar
from shared.task import Examples, TaskSettings
from shared.tasks.fashion_mnist import FashionMnist, embedded
from shared.tasks.residual import resnet
from simulations.stackable import MAPPED, can_be_mapped
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)

RUN: dict[str, Scalar] = {
    "task": "fashion_mnist",
    "model": "resnet",
    "rounds": 14,
    "training.learning_rate": 2.0,
    "population.size": 4,
    "population.examples_per_client": 300,
    "training.batch_size": 90,
    "privacy.noise_multiplier": 1.0,
    "privacy.epsilon_budget": 30.0,
}


@pytest.fixture
def task() -> FashionMnist:
    """With the images that are shipped."""
    return FashionMnist(TaskSettings(model="resnet", data_dir=embedded()))


def some(task: FashionMnist, count: int) -> Examples:
    """The first of the pool."""
    return task.pool()[0].select(torch.arange(count))


@pytest.mark.slow
def test_one_client_trains_as_bare_torch_does(task: FashionMnist) -> None:
    """And every tensor is another after one step."""
    check_plain_training(task, some(task, 16))


def test_it_is_fit_for_both_units_and_fast(task: FashionMnist) -> None:
    """Clipped by book-keeping, and torch can map it over records on a GPU."""
    assert isinstance(check_private_training(task, some(task, 16)), ByBookKeeping)
    assert can_be_mapped(task, MAPPED)


def test_a_hub_s_number_of_classes_is_that_of_its_outputs() -> None:
    """As FEMNIST's 62."""
    assert resnet(62)(torch.zeros(2, 1, 28, 28)).shape == (2, 62)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["record", "none"])
def test_it_learns_clothes(unit: str, tmp_path: Path) -> None:
    """35 points above chance, in 14 rounds of 4 small sites."""
    changes: dict[str, Scalar] = {"privacy.unit": unit}
    if unit == "none":
        changes |= {"training.learning_rate": 0.2, "training.steps": 2}
    assert summary(tmp_path, RUN | changes)["accuracy"] > 0.45
