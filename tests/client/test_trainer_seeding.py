"""What dropout draws from is seeded."""

import pytest
import torch

from client.trainer import _seed


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_dropout_is_seeded_alike_whatever_the_device(device: str) -> None:
    """The CPU's generator alone, or all of them: the same numbers as from torch's own seeding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = torch.rand(4)
        _seed(torch.device(device), 5)
        assert torch.equal(torch.rand(4), expected)
        _seed(torch.device(device), 6)
        assert not torch.equal(torch.rand(4), expected)
