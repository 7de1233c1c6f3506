"""Who holds which rows."""

import pytest
import torch
from torch import nn

from client.shares import check_apart, chunks, put
from shared.errors import ConfigurationError
from tests.client.device_tasks import tied


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_each_row_is_held_once(rows: int, count: int) -> None:
    """In order; some may hold none."""
    whole = torch.arange(rows * 2).view(rows, 2)
    found = chunks(whole, count)
    assert len(found) == count
    assert torch.equal(torch.cat(found), whole)


def test_weights_are_put_in_place() -> None:
    """In their own shapes."""
    model = nn.Linear(2, 3)
    put(list(model.parameters()), torch.arange(9.0))
    assert model.weight.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert model.bias.tolist() == [6.0, 7.0, 8.0]


def test_layers_that_share_a_parameter_are_refused() -> None:
    """FSDP would hold it twice, and train the two apart."""
    check_apart(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    with pytest.raises(ConfigurationError, match="share no parameter"):
        check_apart(tied())
