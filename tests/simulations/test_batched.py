"""A model called for many clients by batched products, against each client's own model."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from simulations.batched import Batched

CLIENTS, RECORDS = 3, 4
SHARED = nn.Linear(6, 6)
MODELS = {
    "images": (
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)), (3, 2, 2)
    ),
    "places, norms, no bias": (
        nn.Sequential(
            nn.Sequential(nn.Linear(6, 4, bias=False), nn.LayerNorm((3, 4)), nn.GELU()),
            nn.LayerNorm(4, bias=False), nn.LayerNorm(4, elementwise_affine=False),
            nn.Flatten(), nn.Linear(12, 2), nn.Softplus(),
        ),
        (3, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_are_each_clients_own(name: str) -> None:
    """But for rounding; every client has parameters of its own."""
    model, shape = MODELS[name]
    assert Batched.possible(model)
    torch.manual_seed(0)
    weights = {
        name: torch.randn(CLIENTS, *weight.shape).requires_grad_()
        for name, weight in model.named_parameters()
    }
    inputs = torch.randn(CLIENTS, RECORDS, *shape)
    found = Batched(model)(weights, inputs)
    found.square().sum().backward()
    for client in range(CLIENTS):
        own = {n: weight[client].detach().requires_grad_() for n, weight in weights.items()}
        outputs = functional_call(model, own, (inputs[client],))
        torch.testing.assert_close(found[client], outputs)
        outputs.square().sum().backward()
        for one, many in zip(own.values(), weights.values(), strict=True):
            assert many.grad is not None
            torch.testing.assert_close(many.grad[client], one.grad)


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.Flatten(2), nn.Linear(2, 2)),
        nn.Sequential(nn.Conv2d(1, 1, 1)),
        nn.Sequential(SHARED, nn.ReLU(), SHARED),
    ],
    ids=["no sequence", "another flattening", "another layer", "one layer twice"],
)
def test_models_it_is_not_for(model: nn.Module) -> None:
    """They are mapped."""
    assert not Batched.possible(model)
