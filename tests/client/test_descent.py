"""Plain steps against torch's own optimizer."""

import torch
from torch import nn

from client.descent import Descent, Pull


def test_a_step_is_that_of_torch_bit_for_bit() -> None:
    """Ten steps; a parameter without a gradient stays where it is."""
    torch.manual_seed(1)
    start = [torch.randn(50, 7), torch.randn(7), torch.randn(3)]
    ours, theirs = ([nn.Parameter(part.clone()) for part in start] for _ in range(2))
    descent, optimizer = Descent(ours, 0.03), torch.optim.SGD(theirs, lr=0.03)
    inputs = torch.randn(20, 50)
    for _ in range(10):
        for weights, way in ((ours, descent), (theirs, optimizer)):
            way.zero_grad(set_to_none=True)
            (inputs @ weights[0] + weights[1]).tanh().square().sum().backward()
            way.step()
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(ours[2].detach(), start[2])


def test_nothing_to_move_is_no_error() -> None:
    """Where no loss depends on anything."""
    weight = nn.Parameter(torch.ones(2))
    Descent([weight], 0.1).step()
    assert torch.equal(weight.detach(), torch.ones(2))


def test_the_pull_is_in_proportion_to_the_way_gone() -> None:
    """μ(w - w_global) on top of the gradient, and nothing where there is none."""
    weight, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    pull = Pull([weight, still], 0.5)
    with torch.no_grad():
        weight.add_(2.0)
    weight.grad = torch.ones(2)
    pull()
    assert torch.equal(weight.grad, torch.full((2,), 2.0))
    assert still.grad is None
