"""What one use of a layer adds to gradients: bounds that are cheaper than norms."""

import pytest
import torch
from torch import Tensor, nn

from client.layer_parts import Parts, parts

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = {
    "linear, one place": (nn.Linear(6, 4), (6,), (4,)),
    "linear, few places": (nn.Linear(900, 70), (3, 900), (3, 70)),
    "linear, many places": (nn.Linear(5, 4), (30, 5), (30, 4)),
    "convolution": (nn.Conv2d(2, 3, 3), (2, 6, 6), (3, 4, 4)),
    "layer norm": (nn.LayerNorm(6), (4, 6), (4, 6)),
}


def made(name: str) -> Parts:
    """Five examples of a layer."""
    layer, inputs, outputs = LAYERS[name]
    generator = torch.Generator().manual_seed(3)

    def normal(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(5, *shape, generator=generator)

    return parts(layer, normal(inputs), normal(outputs))


@pytest.mark.parametrize("name", LAYERS)
def test_no_norm_is_above_its_bound(name: str) -> None:
    """Of every parameter and example, but for rounding; and no bound is infinite."""
    for part in made(name).values():
        norms, bounds = part.norms_squared(), part.bounds_squared()
        assert bounds.shape == norms.shape == (5,)
        assert (norms <= bounds * (1.0 + 4e-6)).all()
        assert torch.isfinite(bounds).all()


def test_an_embedding_s_bound_is_its_norm() -> None:
    """It has no cheaper one."""
    layer = nn.Embedding(7, 4)
    gradients = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(3))
    (table,) = parts(layer, torch.tensor([[1] * 9, [0, 1, 2] * 3]), gradients).values()
    assert torch.equal(table.bounds_squared(), table.norms_squared())


@pytest.mark.parametrize("small", [1e-18, 1e-20, 1e-30])
def test_numbers_whose_squares_are_lost_are_in_the_bound(small: float) -> None:
    """What came back may be as large as they are small."""
    inputs, gradients = torch.full((2, 3, 900), small), torch.full((2, 3, 70), 1e-2 / small)
    weight = parts(nn.Linear(900, 70), inputs, gradients)["weight"]
    exact = (3e-2 * (900 * 70) ** 0.5) ** 2
    assert (weight.bounds_squared() >= 0.99 * exact).all()


def test_what_is_not_finite_has_no_finite_bound() -> None:
    """So it is never taken for short."""
    inputs, gradients = torch.ones(2, 3, 6), torch.ones(2, 3, 4)
    inputs[1, 2, 0] = float("nan")
    bounds = parts(nn.Linear(6, 4), inputs, gradients)["weight"].bounds_squared()
    assert torch.isfinite(bounds).tolist() == [True, False]
