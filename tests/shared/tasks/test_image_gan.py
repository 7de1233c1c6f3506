"""The GAN: clients move the discriminator alone, the server the generator, and clothes appear."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from client.per_record import ByBookKeeping
from shared.config import Scalar
from shared.errors import TooFewSurvivors
from shared.task import Examples, TaskSettings
from shared.task_options import Pictured, Scored, TrainsAtServer
from shared.tasks.fashion_mnist import embedded
from shared.tasks.frechet import Judge
from shared.tasks.gan_networks import Gan
from shared.tasks.image_gan import ImageGan
from simulations.faults import Fault, ScriptedFaults
from simulations.federation import simulate
from simulations.stackable import MAPPED, can_be_mapped
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)

RUN: dict[str, Scalar] = {
    "task": "image_gan",
    "rounds": 3,
    "seed": 5,
    "population.size": 2,
    "population.examples_per_client": 60,
    "training.batch_size": 20,
    "privacy.epsilon_budget": 1e3,
    "runtime.evaluate_every": 1000,
    "audit.canaries": 0,
    "output.run_id": "run",
    "output.tensorboard": False,
}


@pytest.fixture(scope="module")
def task() -> ImageGan:
    """With the images that are shipped."""
    return ImageGan(TaskSettings(data_dir=embedded()))


@pytest.fixture
def model(task: ImageGan) -> Gan:
    """A fresh one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        built = task.build_model()
    assert isinstance(built, Gan)
    return built


def some(task: ImageGan, count: int) -> Examples:
    """The first of the pool."""
    return task.pool()[0].select(torch.arange(count))


def test_one_client_trains_the_discriminator_as_bare_torch_does(task: ImageGan) -> None:
    """All of it, and not one number of the generator."""
    check_plain_training(task, some(task, 12), still="generator.")


def test_it_is_fit_for_both_units(task: ImageGan) -> None:
    """Its records are clipped by book-keeping, as Opacus would; clients are not stacked."""
    assert isinstance(check_private_training(task, some(task, 12)), ByBookKeeping)
    assert not can_be_mapped(task, MAPPED)


def test_an_example_s_noise_is_its_own(task: ImageGan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard normal, and of no other example, order or number."""
    images, noise, labels = some(task, 200).inputs
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1.0) < 0.05
    alone = Examples((images[7:8],), labels[7:8])
    monkeypatch.setattr("shared.tasks.fashion_mnist._read_pool", lambda _: (alone, alone))
    other = ImageGan(TaskSettings(data_dir=embedded())).pool()[0]
    assert torch.equal(other.inputs[1], noise[7:8])


def test_the_server_trains_the_generator_alone_and_repeatably(task: ImageGan, model: Gan) -> None:
    """Every tensor of it; the discriminator's gradients are not used."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    task.after_step(model, torch.Generator().manual_seed(3), steps=2)
    after = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for name, weight in after.items():
        assert torch.equal(weight, before[name]) != name.startswith(task.server_part), name
    model.load_state_dict(before)
    task.after_step(model, torch.Generator().manual_seed(3), steps=2)
    assert all(torch.equal(weight, after[name]) for name, weight in model.named_parameters())
    assert isinstance(task, TrainsAtServer)


def test_metrics_tell_how_well_the_two_are_told_apart(task: ImageGan) -> None:
    """Both, one, none."""
    outputs = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    assert task.metrics(outputs, labels)["told_apart"].tolist() == [1.0, 0.5, 0.0]
    expected = -torch.log(torch.sigmoid(outputs[:, 0])) - torch.log(
        1 - torch.sigmoid(outputs[:, 1])
    )
    torch.testing.assert_close(task.losses(outputs, labels), expected)


@pytest.mark.slow
def test_scores_know_clothes_from_what_is_none(task: ImageGan, model: Gan) -> None:
    """Distance 0 from oneself, little from other real images, much from an untrained generator."""
    public = task.evaluation_data()
    rows = torch.arange(len(public))
    judge = Judge(public.select(rows[:1000]), public.select(rows[1000:]))
    real = some(task, 1000)
    assert judge.distance(public.inputs[0][1000:]) == pytest.approx(0.0, abs=1e-6)
    assert judge.distance(real.inputs[0]) < 0.3
    assert judge.recognised(real.inputs[0], real.targets) > 0.75
    assert isinstance(task, Scored)
    scores = task.scores(model)
    assert scores["frechet"] > 5.0
    assert scores["accuracy"] < 0.3
    assert task.scores(model) == scores


def test_a_picture_has_a_row_for_each_kind(task: ImageGan, model: Gan) -> None:
    """Ten by ten images at twice their size, the same at each call."""
    assert isinstance(task, Pictured)
    (content,) = task.pictures(model).values()
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.mode, picture.size) == ("L", (560, 560))
    assert task.pictures(model)["samples"] == content


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Discriminator and generator."""
    whole = simulate(RUN | {"output.dir": str(tmp_path / "whole")})
    parts: dict[str, Scalar] = RUN | {"output.dir": str(tmp_path / "parts")}
    nobody = ScriptedFaults({(index, "2"): Fault.UNAVAILABLE for index in range(2)})
    with pytest.raises(TooFewSurvivors):
        simulate(parts, faults=nobody)
    resumed = simulate(parts | {"output.resume": True})
    one, other = ((run / "model.safetensors").read_bytes() for run in (whole, resumed))
    assert one == other
    assert (whole / "samples-000003.png").read_bytes() == (
        resumed / "samples-000003.png"
    ).read_bytes()


@pytest.mark.integration
def test_under_masks_the_generator_is_the_server_s_too(tmp_path: Path) -> None:
    """Secure aggregation with distributed noise: of the generator's part nothing is left."""
    keys: dict[str, Scalar] = RUN | {
        "rounds": 1,
        "privacy.noise": "distributed",
        "privacy.noise_multiplier": 20.0,
        "population.size": 3,
        "output.dir": str(tmp_path),
    }
    model = load_file(simulate(keys) / "model.safetensors")
    plain = load_file(
        simulate(keys | {"privacy.noise": "whole", "output.run_id": "plain"}) / "model.safetensors"
    )
    generator = {name for name in model if name.startswith("generator.")}
    # One step of Adam's, of at most the rate each way; noise would have been two orders more.
    for name in generator:
        assert np.abs(model[name] - plain[name]).max() <= 2 * 1.1e-3


@pytest.mark.slow
def test_clothes_appear(tmp_path: Path) -> None:
    """Without privacy, in 25 short rounds: three times as many as by chance are recognised."""
    keys: dict[str, Scalar] = RUN | {
        "rounds": 25,
        "privacy.unit": "none",
        "population.examples_per_client": 600,
        "training.steps": 4,
        "training.batch_size": 32,
        "training.optimizer": "adam",
        "training.learning_rate": 1e-3,
        "server.momentum": 0.0,
    }
    found = summary(tmp_path, keys)
    assert found["accuracy"] > 0.3
    assert found["metrics"]["frechet"] < 13.0
