"""The release of one step: bounded in each record, noisy as planned, divided by a constant.

Record and replay: noise is frozen to zero and everybody is drawn, so that an update is minus the
sum of clipped gradients, and two neighbouring sites can be compared.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from client.dp_optimizer import RecordOptimizer
from shared.config import Scalar
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.errors import PrivacyError
from shared.per_example import backward
from shared.task import Examples
from tests.client.toy import (
    FEATURES,
    Toy,
    cross_entropy,
    examples,
    mlp,
    silence,
    start,
    training,
    updated,
)
from tests.significance import NOISE_SAMPLES, is_normal

C = 0.5
ROUNDING = 1e-5
RELEASE: dict[str, Scalar] = {
    "training.steps": 1,
    "training.sample_rate": 1.0,
    "training.batch_size": 1,
    "training.learning_rate": 1.0,
    "privacy.clipping_norm": C,
}
SPOILERS = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a million times": 1e6,
    "beyond the square's range": 1e30,
    "all zero": 0.0,
}


def summed(data: Examples) -> NDArray[np.float64]:
    """The sum of clipped gradients that one step would add noise to."""
    return -updated(training(RELEASE), data).astype(np.float64)


def spoiled(data: Examples, row: int, factor: float) -> Examples:
    """The same examples, the inputs of one multiplied."""
    inputs = data.inputs[0].clone()
    inputs[row] = torch.full_like(inputs[row], factor) if factor == 0 else inputs[row] * factor
    return Examples((inputs,), data.targets)


def mechanism(noise_multiplier: float = 1.0, batch_size: int = 4) -> RecordPrivacy:
    """A mechanism with C as above."""
    return RecordPrivacy(
        clipping_norm=C,
        noise_multiplier=noise_multiplier,
        sample_rate=1.0,
        steps_per_round=1,
        batch_size=batch_size,
    )


def stream() -> RandomStream:
    """A stream of noise."""
    return SeededRandomness(3).stream("record_noise")


@pytest.mark.parametrize("row", range(6))
def test_one_record_less_moves_the_sum_by_at_most_the_bound(
    row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """‖q(D) − q(D without a record)‖₂ ≤ C; read backwards, for one record more."""
    silence(monkeypatch)
    data = examples(6)
    rest = data.select(torch.tensor([index for index in range(6) if index != row]))
    moved = np.linalg.norm(summed(data) - summed(rest))
    assert 0.5 * C < moved <= C * (1 + ROUNDING)


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("row", [0, 5])
def test_a_spoiled_record_counts_as_one_that_is_bounded(
    kind: str, row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a record holds, the sum stays within C of the sum without it, and finite."""
    silence(monkeypatch)
    data = examples(6)
    rest = data.select(torch.tensor([index for index in range(6) if index != row]))
    moved = np.linalg.norm(summed(spoiled(data, row, SPOILERS[kind])) - summed(rest))
    assert moved <= C * (1 + ROUNDING)


def test_records_that_are_all_nan_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum is exactly zero."""
    silence(monkeypatch)
    data = examples(4)
    assert not summed(Examples((data.inputs[0] * math.nan,), data.targets)).any()


def test_a_gradient_that_is_nan_in_one_parameter_only_is_zero_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole example is left out: half a gradient would be a biased one, unclipped."""
    silence(monkeypatch)
    model = GradSampleModule(mlp(), loss_reduction="sum")
    optimizer = RecordOptimizer(torch.optim.SGD(model.parameters(), lr=1.0), mechanism())
    data = examples(3)
    backward(cross_entropy(model(*data.inputs), data.targets))
    parameters = list(model.parameters())
    parameters[1].grad_sample[1] = math.nan
    for parameter in parameters:
        parameter.grad_sample[0] = 0.0
        parameter.grad_sample[2] = 0.0
    optimizer.accumulate(3)
    assert not any(parameter.summed_grad.any() for parameter in parameters)


def test_opacus_alone_would_fail_the_nan_test() -> None:
    """The planted bug: in Opacus' own optimizer one NaN record spoils the whole sum."""
    model = GradSampleModule(mlp(), loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(model.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=C,
        expected_batch_size=1,
    )
    data = spoiled(examples(6), 0, math.nan)
    backward(cross_entropy(model(*data.inputs), data.targets))
    optimizer.pre_step()
    assert any(bool(parameter.grad.isnan().any()) for parameter in model.parameters())


def test_on_finite_data_without_noise_the_gradient_is_that_of_opacus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Same clip, same sum, same divisor."""
    silence(monkeypatch)
    models = [GradSampleModule(mlp(), loss_reduction="sum") for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    data = examples(9)
    for model in models:
        backward(cross_entropy(model(*data.inputs), data.targets))
    ours, theirs = (torch.optim.SGD(model.parameters(), lr=1.0) for model in models)
    optimizer = RecordOptimizer(ours, mechanism(batch_size=9))
    optimizer.accumulate(9)
    optimizer.noisy_step(stream())
    DPOptimizer(theirs, noise_multiplier=0.0, max_grad_norm=C, expected_batch_size=9).step()
    for mine, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-8)


@pytest.mark.statistical
def test_noise_has_the_planned_standard_deviation() -> None:
    """At an empty site B·update/learning rate is 𝒩(0, z²C²); the planted errors are seen."""
    wide = Toy(lambda: nn.Linear(2000, 10))
    keys = RELEASE | {"training.batch_size": 7, "privacy.noise_multiplier": 1.7}
    count = 20_010
    assert count >= NOISE_SAMPLES
    nobody = Examples((torch.zeros(0, 2000),), torch.zeros(0, dtype=torch.int64))
    update = updated(training(keys, wide), nobody, parameters=start(count))
    noise = 7.0 * update.astype(np.float64)
    stddev = 1.7 * C
    assert is_normal(noise, stddev)
    for planted in (stddev**2, stddev / math.sqrt(7), 1.05 * stddev, 1.7):
        assert not is_normal(noise, planted)


def test_noise_is_drawn_once_a_step_for_the_whole_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three micro-batches in each of two steps: two draws of d numbers of stddev z·C."""
    asked = silence(monkeypatch)
    keys = RELEASE | {"training.steps": 2, "training.max_physical_batch": 2}
    updated(training(keys | {"privacy.noise_multiplier": 3.0}), examples(6))
    assert asked == [(53, 3.0 * C)] * 2


def test_each_step_has_noise_of_its_own() -> None:
    """Two steps at an empty site do not repeat a draw, and the same labels do."""
    one = updated(training(RELEASE), examples(0))
    two = updated(training(RELEASE | {"training.steps": 2}), examples(0))
    assert abs(np.corrcoef(one, two - one)[0, 1]) < 0.7
    assert np.array_equal(one, updated(training(RELEASE), examples(0)))


def test_torchs_generator_gives_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torch.normal nor Opacus' own noise is reached."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("noise from torch")

    monkeypatch.setattr("torch.normal", forbidden)
    monkeypatch.setattr("opacus.optimizers.optimizer._generate_noise", forbidden)
    assert updated(training(RELEASE), examples(4)).any()


@pytest.mark.parametrize("count", [0, 1, 5, 50])
def test_the_divisor_is_the_plans_constant(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records there are, B = 8 divides the sum by 8."""
    silence(monkeypatch)
    data = examples(count)
    eighth = updated(training(RELEASE | {"training.batch_size": 8}), data)
    np.testing.assert_allclose(-8.0 * eighth, summed(data), atol=1e-6)


def test_a_step_without_noise_is_refused() -> None:
    """The optimizer's ordinary `step` raises; there is no way past the noise."""
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = RecordOptimizer(torch.optim.SGD([parameter], lr=1.0), mechanism())
    with pytest.raises(PrivacyError, match="stream of noise"):
        optimizer.step()


def test_a_parameter_that_opacus_does_not_follow_is_refused() -> None:
    """A parameter outside any layer has a gradient of the batch, not of each example."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = mlp()
            self.late = nn.Linear(3, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(self.layer(inputs), self.late.weight, self.late.bias)

    with pytest.raises(PrivacyError, match=r"one of shape \(3, 3\)"):
        updated(training(RELEASE, Toy(Scaled)), examples(4), parameters=start(65))


def test_parts_of_an_example_are_not_taken_for_examples() -> None:
    """A model that folds each input into 6 rows would have each row clipped to C by itself."""

    def folded() -> nn.Module:
        return nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 1)), nn.Linear(1, 1), Unfold())

    class Unfold(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs.reshape(-1, 6)[:, :3]

    with pytest.raises(PrivacyError, match="something else"):
        updated(training(RELEASE, Toy(folded)), examples(4), parameters=start(2))


def test_a_tied_layer_is_clipped_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer used twice has one gradient per example: that of both uses, as autograd sees it."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, FEATURES)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layer(torch.tanh(self.layer(inputs)))
            return out

    silence(monkeypatch)
    keys = RELEASE | {"privacy.clipping_norm": 1e6}
    parameters = start(42)
    got = updated(training(keys, Toy(Twice)), examples(4), parameters=parameters)
    model = Twice()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters), model.parameters())
    data = examples(4)
    cross_entropy(model(*data.inputs), data.targets).sum().backward()
    expected = torch.cat([weight.grad.reshape(-1) for weight in model.parameters()])  # type: ignore[union-attr]
    np.testing.assert_allclose(-got, expected.numpy(), atol=1e-5)
