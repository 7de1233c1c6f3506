"""A parameter travels or stays, by its name, and never does both."""

import pytest
import torch
from torch import nn

from shared.errors import ConfigurationError
from shared.local_layers import is_local, named_shared, split


def model() -> nn.Sequential:
    """Three layers, of which the middle one is frozen."""
    made = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    made[1].requires_grad_(requires_grad=False)
    return made


def test_a_layer_is_named_by_itself_or_by_what_it_lies_in() -> None:
    """Whole components alone count."""
    assert is_local("head.weight", "body,head")
    assert is_local("head.weight", "head.weight")
    assert not is_local("header.weight", "head")
    assert not is_local("head.weight", "")


def test_every_trainable_parameter_is_on_one_side_in_the_model_s_order() -> None:
    """Frozen ones on none."""
    made = model()
    found = split(made, "2")
    assert [id(p) for p in found.shared] == [id(p) for p in made[0].parameters()]
    assert [id(p) for p in found.local] == [id(p) for p in made[2].parameters()]
    whole = split(made, "")
    assert (len(whole.shared), whole.local) == (4, [])


@pytest.mark.parametrize(
    ("layers", "why"),
    [("1", "trainable layers"), ("2,head", "'head'"), ("0,2", "something to share")],
)
def test_layers_that_split_nothing_are_refused(layers: str, why: str) -> None:
    """Frozen, unknown, or all of them."""
    with pytest.raises(ConfigurationError, match=why):
        split(model(), layers)


def test_a_parameter_of_two_layers_cannot_stay_in_one_of_them() -> None:
    """It would travel under its other name."""
    made = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    made[1].weight = made[0].weight
    with pytest.raises(ConfigurationError, match="both kinds"):
        split(made, "1")


def test_what_is_saved_holds_no_local_layer() -> None:
    """Frozen layers of the shared part are there."""
    assert list(named_shared(model(), "2")) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    made = model()
    assert torch.equal(named_shared(made, "")["2.bias"], dict(made.named_parameters())["2.bias"])
