"""Image and caption: what captions say is in the image, half are wrong, and it is learnt which."""

from pathlib import Path

import numpy as np
import pytest
import torch

from client.per_record import ByBookKeeping
from shared.config import Scalar
from shared.task import Examples, TaskSettings
from shared.tasks.captions import KINDS, LENGTH, SHAPES, TONES, WORDS, captions, text
from shared.tasks.fashion_mnist import embedded
from shared.tasks.image_text import ImageText
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)
from tests.significance import has_rate

RUN: dict[str, Scalar] = {
    "task": "image_text",
    "rounds": 12,
    "population.size": 2,
    "population.examples_per_client": 1500,
    "privacy.unit": "none",
    "training.steps": 30,
    "training.batch_size": 50,
    "training.optimizer": "adam",
    "training.learning_rate": 2e-3,
    "server.momentum": 0.0,
}


@pytest.fixture(scope="module")
def task() -> ImageText:
    """With the images that are shipped."""
    return ImageText(TaskSettings(data_dir=embedded()))


def some(task: ImageText, count: int) -> Examples:
    """The first of the pool."""
    return task.pool()[0].select(torch.arange(count))


def rectangle(high: int, wide: int, shade: float) -> np.ndarray:
    """One image with a bright part of this size."""
    image = np.full((1, 28, 28), -1.0, np.float32)
    image[0, :high, :wide] = shade
    return image


def kind_in(words: set[str]) -> int:
    """Which kind a caption names."""
    return next(kind for kind, names in enumerate(KINDS) if words & set(names))


def test_one_client_trains_as_bare_torch_does(task: ImageText) -> None:
    """And every tensor is another after one step: words' too, if each occurs."""
    check_plain_training(task, some(task, 16))


def test_it_is_fit_for_both_units(task: ImageText) -> None:
    """Clipped by book-keeping, which agrees with Opacus."""
    assert isinstance(check_private_training(task, some(task, 16)), ByBookKeeping)


@pytest.mark.parametrize(
    ("image", "tone", "shape"),
    [
        (rectangle(20, 5, 0.9), "bright", "narrow"),
        (rectangle(10, 10, 0.35), "grey", "compact"),
        (rectangle(6, 27, -0.5), "dark", "wide"),
        (rectangle(0, 0, 0.0), "dark", "compact"),
    ],
)
def test_a_right_caption_says_what_is_to_be_seen(image: np.ndarray, tone: str, shape: str) -> None:
    """Whatever form it has; the kind is that of the label, by one of its two names."""
    # Shades that hardly differ, so that there are right captions and wrong ones.
    many = np.concatenate([image + 1e-4 * step for step in range(40)]).astype(np.float32)
    found = captions(many, np.full(40, 7))
    said = [set(text(words).split()) for words in found.words]
    right = [words for words, flag in zip(said, found.right, strict=True) if flag]
    assert {frozenset(words & {*TONES}) for words in right} == {frozenset({tone})}
    assert all(words & {*SHAPES} == {shape} for words in said)
    assert all(kind_in(words) == 7 for words in right)
    assert len(right) < 40


def test_half_of_the_captions_are_wrong_in_one_thing(task: ImageText) -> None:
    """Kind or tone; and of each word there are right ones and wrong ones."""
    images, words = task.pool()[0].inputs
    flags, kinds = task.pool()[0].targets, task.training_labels()
    assert has_rate(int(flags.sum()), len(flags), 0.5)
    told = [kind_in(set(text(row).split())) for row in words.numpy()]
    other_kind = torch.tensor(told) != kinds
    assert not bool((other_kind & (flags == 1)).any())
    assert has_rate(int(other_kind.sum()), int((flags == 0).sum()), 2 / 3)
    for number in range(len(WORDS)):
        assert 0.4 < float(flags[(words == number).any(1)].double().mean()) < 0.6, WORDS[number]
    assert words.shape == (len(images), LENGTH)


def test_a_caption_depends_on_its_image_alone(task: ImageText) -> None:
    """Not on the others, nor on the order."""
    images, kinds = some(task, 20).inputs[0][:, 0].numpy(), task.training_labels()[:20].numpy()
    whole, alone = captions(images, kinds), captions(images[5:6], kinds[5:6])
    assert np.array_equal(whole.words[5:6], alone.words)
    assert np.array_equal(whole.right[5:6], alone.right)


@pytest.mark.slow
def test_it_tells_right_captions_from_wrong_ones(tmp_path: Path) -> None:
    """Neither the image nor the words alone do better than a half."""
    assert summary(tmp_path, RUN)["accuracy"] > 0.6
