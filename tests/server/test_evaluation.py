"""Means over the public examples, however they are cut up; nothing else is touched."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from server.evaluation import Evaluator, Measurement
from shared import measuring as module
from shared.parameters import FlatVector
from shared.task import TaskSettings
from tests.server.fake_grid import vector
from tests.server.toy import Toy, Unmeasured, config


def measured(parameters: FlatVector, kind: type[Toy] = Toy) -> Measurement:
    """Of y = w·x + b where y = 2x at -2, -1, 1 and 2."""
    return Evaluator(kind(TaskSettings()), config(Path())).measure(parameters)


@pytest.mark.parametrize("chunk", [1, 3, 4, 1000])
def test_loss_and_accuracy_are_means_over_all_examples(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not means of means of chunks: w = 2, b = -3 misses by 3 and has three signs right."""
    monkeypatch.setattr(module, "_CHUNK", chunk)
    found = measured(vector(2.0, -3.0))
    assert found.loss == pytest.approx(9.0)
    # 2x - 3 is -7, -5, -1, 1 for -4, -2, 2, 4.
    assert found.accuracy == 0.75


def test_the_mean_is_over_as_many_examples_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two here: y = 0 misses -4 and 4."""
    two = Toy(TaskSettings()).evaluation_data().select(torch.tensor([0, 3]))
    monkeypatch.setattr(Toy, "evaluation_data", lambda self: two)  # noqa: ARG005 - a method
    assert measured(vector(0.0, 0.0)).loss == pytest.approx(16.0)


def test_a_task_without_accuracy_has_none() -> None:
    """The loss is measured all the same."""
    found = measured(vector(2.0, 0.0), Unmeasured)
    assert (found.loss, found.metrics, found.accuracy) == (0.0, {}, None)


def test_a_model_whose_layers_stay_at_clients_is_not_measured() -> None:
    """The server has no model of anybody's."""
    known = config(Path(), {"training.local_layers": "bias"})
    evaluator = Evaluator(Toy(TaskSettings()), known)
    found = evaluator.measure(vector(2.0))
    assert (evaluator.whole, math.isnan(found.loss), found.metrics) == (False, True, {})


def test_an_accuracy_that_is_no_number_is_none() -> None:
    """A report holds numbers only."""
    assert Measurement(loss=0.0, metrics={"accuracy": float("nan")}).accuracy is None


def test_measuring_moves_neither_gradients_nor_randomness() -> None:
    """A seeded run must not depend on how often it is measured."""
    before = torch.random.get_rng_state()
    evaluator = Evaluator(Toy(TaskSettings()), config(Path()))
    evaluator.measure(vector(1.0, 1.0))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in evaluator._model.parameters())
    assert torch.is_grad_enabled()


class Shown(Toy):
    """A task with a score of the whole model, and a picture."""

    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """What the weight is, of a model that is not in training."""
        assert not model.training
        return {"weight": float(model.weight)}  # type: ignore[arg-type]

    def pictures(self, model: nn.Module) -> Mapping[str, bytes]:
        """Of its bias."""
        return {"bias": str(float(model.bias)).encode()}  # type: ignore[arg-type]


def test_scores_and_pictures_of_the_model_go_with_the_means() -> None:
    """Beside the metrics."""
    found = measured(vector(2.0, 0.5), Shown)
    assert found.metrics == {"accuracy": 1.0, "weight": 2.0}
    assert found.pictures == {"bias": b"0.5"}
