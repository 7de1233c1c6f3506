"""The detector: fit for both units, bare torch for one client, and it finds clothes."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from client.per_record import ByBookKeeping
from shared.config import Scalar
from shared.partition import PartitionSpec
from shared.task import Examples, Site, TaskSettings
from shared.task_options import Pictured, Scored
from shared.tasks.detection import Detection
from shared.tasks.fashion_mnist import embedded
from shared.tasks.scenes import CONTENT
from tests.shared.tasks.test_boxes import outputs_of
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)

RUN: dict[str, Scalar] = {
    "task": "detection",
    "rounds": 10,
    "population.size": 2,
    "population.examples_per_client": 500,
    "privacy.unit": "none",
    "training.steps": 10,
    "training.batch_size": 32,
    "training.optimizer": "adam",
    "training.learning_rate": 2e-3,
    "server.momentum": 0.0,
}


@pytest.fixture(scope="module")
def task() -> Detection:
    """With the images that are shipped."""
    return Detection(TaskSettings(data_dir=embedded()))


def some(task: Detection, count: int) -> Examples:
    """The first scenes of the pool."""
    return task.pool()[0].select(torch.arange(count))


def test_what_was_found_is_told_in_words(task: Detection) -> None:
    """Kind, place and score of each piece; or that there is nothing."""
    outputs = torch.full((2, 8, 8, 15), -9.0)
    outputs[1, 2, 3] = torch.tensor([9.0, 0.0, 0.0, 0.0, 0.0, *[-9.0] * 8, 9.0, -9.0])
    nothing, told = task.describe(outputs)
    kind, rest = told.split(" at ", 1)
    assert (nothing, kind) == ("nothing", task.class_names()[8])
    assert rest.endswith(", 100 %")
    assert ") to (" in rest


@pytest.mark.slow
def test_one_client_trains_as_bare_torch_does(task: Detection) -> None:
    """And every tensor is another after one step."""
    check_plain_training(task, some(task, 8))


def test_it_is_fit_for_both_units(task: Detection) -> None:
    """One loss for a whole scene; clipped by book-keeping, which agrees with Opacus."""
    assert isinstance(check_private_training(task, some(task, 8)), ByBookKeeping)


def test_scenes_are_shared_out_by_what_is_in_them_first(task: Detection) -> None:
    """Labels are kinds; sites hold different scenes."""
    labels = task.training_labels()
    assert len(labels) == 3333
    assert set(labels.tolist()) == set(range(10))
    spec = PartitionSpec(scheme="shards", clients=10, shards_per_client=1)
    held = task.site_data(Site(index=0, partition=spec)).targets
    first = held.flatten(1, 2)
    rows = first[..., CONTENT.object].argmax(1)
    assert len(first[torch.arange(len(first)), rows, CONTENT.kind].unique()) <= 2


def test_metrics_are_shares_of_a_scene_s_pieces(task: Detection) -> None:
    """All found and named; all found, one misnamed; one not found; no box where it should be."""
    targets = next(t for t in some(task, 50).targets if t[..., CONTENT.object].sum() == 2)
    right = outputs_of(targets)
    place = tuple(targets[..., CONTENT.object].nonzero()[0].tolist())
    misnamed, missed, elsewhere = right.clone(), right.clone(), right.clone()
    misnamed[place][5:] = misnamed[place][5:].roll(1)
    missed[place][0] = -5.0
    elsewhere[place][3:5] = -4.0
    outputs = torch.stack([right, misnamed, missed, elsewhere])
    four = targets.expand(4, *targets.shape)
    found = task.metrics(outputs, four)
    assert found["recall"].tolist() == [1.0, 1.0, 0.5, 0.5]
    assert found["accuracy"].tolist() == [1.0, 0.5, 0.5, 0.5]
    losses = task.losses(outputs, four)
    assert losses.shape == (4,)
    assert bool((losses[1:] > losses[0]).all())


@pytest.mark.slow
def test_it_finds_clothes(tmp_path: Path) -> None:
    """From nothing, in ten rounds without privacy, seven pieces in ten; a picture shows them."""
    found = summary(tmp_path, RUN)
    assert found["metrics"]["recall"] > 0.5
    assert found["metrics"]["map50"] > 0.05
    with Image.open(tmp_path / "run" / "detections-000010.png") as picture:
        assert picture.size == (1024, 1024)


@pytest.mark.slow
def test_a_model_that_knows_nothing_scores_nothing(task: Detection) -> None:
    """And its picture is of scenes alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build_model().eval()
    assert isinstance(task, Scored)
    assert isinstance(task, Pictured)
    assert task.scores(model)["map50"] < 0.05
    with Image.open(io.BytesIO(task.pictures(model)["detections"])) as picture:
        assert picture.mode == "L"
