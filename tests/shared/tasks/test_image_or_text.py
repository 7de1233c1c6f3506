"""Image, caption or both: a side that is missing changes nothing, and the other is enough."""

from pathlib import Path

import pytest
import torch

from client.per_record import ByBookKeeping, chosen
from shared.config import Scalar
from shared.model_check import check_model
from shared.task import Examples, TaskSettings
from shared.tasks.captions import KINDS, text
from shared.tasks.fashion_mnist import embedded
from shared.tasks.image_or_text import (
    IMAGE_ALONE,
    TEXT_ALONE,
    EitherSide,
    ImageOrText,
)
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)
from tests.significance import has_rate

RUN: dict[str, Scalar] = {
    "task": "image_or_text",
    "rounds": 8,
    "population.size": 2,
    "population.examples_per_client": 1000,
    "privacy.unit": "none",
    "training.steps": 30,
    "training.batch_size": 50,
    "training.optimizer": "adam",
    "training.learning_rate": 2e-3,
    "server.momentum": 0.0,
}


@pytest.fixture(scope="module")
def task() -> ImageOrText:
    """With the images that are shipped."""
    return ImageOrText(TaskSettings(data_dir=embedded()))


@pytest.fixture
def model() -> EitherSide:
    """As it is built."""
    torch.manual_seed(3)
    return EitherSide()


def some(task: ImageOrText, count: int) -> Examples:
    """The first of the pool."""
    return task.pool()[0].select(torch.arange(count))


class WithoutLoss(ImageOrText):
    """No side is dropped, so that a loop of another generator's numbers is the same."""

    def build_model(self) -> EitherSide:
        """In training as in evaluation."""
        model = EitherSide()
        model.lost.p = 0.0
        return model


def test_one_client_trains_as_bare_torch_does() -> None:
    """But for sides that are dropped; and every tensor is another after one step."""
    task = WithoutLoss(TaskSettings(data_dir=embedded()))
    examples = some(task, 16)
    check_plain_training(task, examples)
    assert isinstance(check_private_training(task, examples), ByBookKeeping)


def test_it_is_fit_for_both_units(task: ImageOrText, model: EitherSide) -> None:
    """Clipped by book-keeping, which agrees with Opacus, with the sides that are dropped."""
    for per_record in (True, False):
        check_model(model, task.evaluation_data(), task.losses, per_record=per_record)
    way = chosen(model, lambda m, b: task.losses(m(*b.inputs), b.targets), some(task, 16), 1.0)
    assert isinstance(way, ByBookKeeping)


@pytest.mark.parametrize(("sides", "place"), [(IMAGE_ALONE, 1), (TEXT_ALONE, 0)])
def test_what_is_not_there_changes_nothing(
    task: ImageOrText, model: EitherSide, sides: tuple[float, float], place: int
) -> None:
    """Whatever stands in its place; neither the outputs nor, in training, a gradient."""
    examples = some(task, 6)
    inputs = list(examples.inputs[:2])
    others = [inputs[0].flip(0), inputs[1].flip(0)]
    there = torch.tensor(sides).expand(6, 2)
    found = model.train()(*inputs, there)
    inputs[place] = others[place]
    assert torch.equal(found, model(*inputs, there))
    found.sum().backward()
    absent = (model.words, model.read) if place else (model.seen,)
    assert not any(
        bool(weight.grad.any())
        for part in absent
        for weight in part.parameters()
        if weight.grad is not None
    )


def test_a_side_is_dropped_in_training_alone(task: ImageOrText, model: EitherSide) -> None:
    """Half of the examples lose one, either as often, and none loses what is its last."""
    there = torch.ones(4000, 2)
    kept = model.train()._kept(there)
    lost = kept.sum(1) == 1
    assert has_rate(int(lost.sum()), 4000, 0.5)
    assert has_rate(int((kept[lost, 0] == 0).sum()), int(lost.sum()), 0.5)
    assert bool((kept.sum(1) >= 1).all())
    one = torch.tensor(TEXT_ALONE).expand(4000, 2)
    assert torch.equal(model._kept(one), torch.ones(4000, 2))
    assert torch.equal(model.eval()._kept(there), there)
    examples = some(task, 5)
    assert torch.equal(model(*examples.inputs), model(*examples.inputs[:2]))


def test_two_captions_in_three_name_the_kind(task: ImageOrText) -> None:
    """So that words are worth something, and not everything."""
    examples = task.pool()[0]
    said = [set(text(words).split()) for words in examples.inputs[1].numpy()]
    right = [
        bool(words & set(KINDS[kind]))
        for words, kind in zip(said, examples.targets.tolist(), strict=True)
    ]
    assert has_rate(sum(right), len(right), 2 / 3)
    assert torch.equal(task.training_labels(), examples.targets)
    assert task.class_names()[:2] == ("t-shirt", "trousers")


@pytest.mark.slow
def test_it_tells_kinds_by_either_side_and_better_by_both(tmp_path: Path) -> None:
    """A guess is right one time in ten."""
    found = summary(tmp_path, RUN)["metrics"]
    assert found["accuracy_image_alone"] > 0.6
    assert found["accuracy_text_alone"] > 0.6
    alone = max(found["accuracy_image_alone"], found["accuracy_text_alone"])
    assert found["accuracy"] > alone + 0.03
