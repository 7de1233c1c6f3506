"""Pooling before rectifying: the same bits, in the model's values and in every gradient."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from client.pooling import pool_first
from shared.config import Scalar
from shared.task import Examples
from shared.tasks.image_classification import cnn
from tests.client.toy import Toy, start, training, updated

RELU_AND_POOL = [nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Flatten]


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    """Of the layers of a sequence."""
    assert isinstance(model, nn.Sequential)
    return [type(layer) for layer in model]


def both_ways(model: nn.Sequential, inputs: Tensor) -> list[list[Tensor]]:
    """Outputs, gradients of the inputs and of each parameter, before and after."""
    found = []
    for changed in (False, True):
        if changed:
            pool_first(model)
        model.zero_grad()
        given_in = inputs.clone().requires_grad_()
        outputs = model(given_in)
        weights = torch.arange(outputs.numel(), dtype=outputs.dtype).view_as(outputs) + 1
        (outputs * weights).sum().backward()
        gradients = [
            weight.grad.clone() for weight in model.parameters() if weight.grad is not None
        ]
        assert given_in.grad is not None
        found.append([outputs.detach(), given_in.grad, *gradients])
    return found


def same_bits(some: list[Tensor], others: list[Tensor]) -> bool:
    """NaN is itself; zero has no sign."""
    return all(
        torch.equal(a.nan_to_num(7.25, 8.25, 9.25), b.nan_to_num(7.25, 8.25, 9.25))
        for a, b in zip(some, others, strict=True)
    )


def test_a_network_of_images_gives_the_same_bits() -> None:
    """`cnn`, whose parameters keep their names."""
    torch.manual_seed(0)
    model = cnn()
    assert isinstance(model, nn.Sequential)
    names = [name for name, _ in model.named_parameters()]
    before, after = both_ways(model, torch.rand(5, 1, 28, 28) - 0.5)
    assert kinds(model)[:7] == RELU_AND_POOL
    assert same_bits(before, after)
    assert [name for name, _ in model.named_parameters()] == names


# Few values, so that windows have ties, no positive number, zeros of both signs and no numbers.
VALUES = [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0, math.inf, -math.inf, math.nan]


@given(
    st.lists(st.sampled_from(VALUES), min_size=25, max_size=25),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_ties_and_what_is_no_number_give_the_same_bits(
    numbers: list[float], width: int, stride: int, ceil: bool
) -> None:
    """Windows that overlap, miss numbers and reach over the edge, too."""
    pool = nn.MaxPool2d(width, stride=stride, padding=width // 2, ceil_mode=ceil)
    model = nn.Sequential(nn.ReLU(), pool)
    before, after = both_ways(model, torch.tensor(numbers).view(1, 1, 5, 5))
    assert kinds(model) == [nn.MaxPool2d, nn.ReLU]
    assert same_bits(before, after)


def test_a_function_that_is_not_monotone_would_be_seen() -> None:
    """Planted: another function in ReLU's place."""

    class Bent(nn.Module):
        def forward(self, numbers: Tensor) -> Tensor:
            return numbers.square()

    numbers = torch.tensor([-2.0, 1.0]).view(1, 1, 2)
    one_way = nn.Sequential(Bent(), nn.MaxPool1d(2))(numbers)
    assert not same_bits([one_way], [nn.Sequential(nn.MaxPool1d(2), Bent())(numbers)])


def test_sequences_in_sequences_and_several_pools() -> None:
    """ReLU goes behind all of them."""
    inner = nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool1d(2), nn.MaxPool1d(2))
    model = nn.Sequential(nn.Linear(8, 8), inner)
    before, after = both_ways(model, torch.linspace(-1, 1, 16).view(1, 2, 8))
    assert kinds(inner) == [nn.MaxPool1d, nn.MaxPool1d, nn.ReLU]
    assert same_bits(before, after)


class Subclass(nn.ReLU):
    """May compute something else."""


class Calling(nn.Sequential):
    """A sequence that may take a part of itself."""


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Tanh(), nn.MaxPool2d(2)],
        [Subclass(), nn.MaxPool2d(2)],
        [nn.ReLU(), nn.AvgPool2d(2)],
        [nn.ReLU(), nn.MaxPool2d(2, return_indices=True)],
        [nn.MaxPool2d(2), nn.ReLU()],
        [nn.ReLU(), nn.Identity(), nn.MaxPool2d(2)],
        [Calling(nn.ReLU(), nn.MaxPool2d(2))],
        [nn.ModuleList([nn.ReLU(), nn.MaxPool2d(2)])],
        [],
    ],
)
def test_everything_else_stays(layers: list[nn.Module]) -> None:
    """Where it is."""
    model = nn.Sequential(*layers)
    before = list(model.modules())
    pool_first(model)
    assert list(model.modules()) == before


def test_a_model_that_calls_its_layers_itself_stays() -> None:
    """The order of its layers may be no order of calls."""
    model = Calling(nn.ReLU(), nn.MaxPool2d(2))
    pool_first(model)
    assert kinds(model) == [nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize("which", [0, 1])
def test_layers_with_hooks_stay(which: int) -> None:
    """A hook sees what it would have seen."""
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        model[which].register_forward_hook(lambda *_: None)
    pool_first(model)
    assert kinds(model) == [nn.ReLU, nn.MaxPool2d]


def tiny_cnn() -> nn.Module:
    """Of pictures of 8 times 8."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8, 3)
    )


@pytest.mark.parametrize("unit", ["none", "record"])
def test_a_trainer_pools_first_and_sends_the_same_bits(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without privacy, and with the clip and noise of each record's gradient."""
    met: list[int] = []
    whole = nn.ReLU.forward

    def seen(self: nn.ReLU, numbers: Tensor) -> Tensor:
        met.append(numbers[0].numel())
        return whole(self, numbers)

    monkeypatch.setattr(nn.ReLU, "forward", seen)
    generator = torch.Generator().manual_seed(3)
    pictures = torch.randn(12, 1, 8, 8, generator=generator)
    data = Examples((pictures,), torch.randint(3, (12,), generator=generator))
    count = sum(weight.numel() for weight in tiny_cnn().parameters())
    keys: dict[str, Scalar] = {"training.steps": 3, "training.batch_size": 4}
    keys["privacy.unit"] = unit
    if unit == "record":
        keys["training.sample_rate"] = 0.5
    found = updated(training(keys, Toy(tiny_cnn)), data, parameters=start(count))
    assert set(met) == {2 * 2 * 2}
    met.clear()
    monkeypatch.setattr("client.trainer.pool_first", lambda _: None)
    expected = updated(training(keys, Toy(tiny_cnn)), data, parameters=start(count))
    assert set(met) == {2 * 8 * 8}
    assert found.tobytes() == expected.tobytes()
    assert np.abs(found).max() > 0.0
