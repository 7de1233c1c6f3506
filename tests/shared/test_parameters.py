"""Model parameters and the flat vector are the same thing."""

import numpy as np
import pytest
import torch
from torch import nn

from shared.errors import MessageError
from shared.parameters import dimension, flatten, lay_aside, load, trainable


def model() -> nn.Module:
    """Two layers; the second's bias is frozen."""
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    layers[1].bias.requires_grad_(False)
    return layers


def test_loading_what_was_flattened_changes_nothing() -> None:
    """flatten and load are inverse, in the model's own order."""
    source, target = model(), model()
    load(target, flatten(source))
    assert flatten(target).tobytes() == flatten(source).tobytes()
    assert dimension(source) == len(flatten(source)) == 3 * 2 + 2 + 2 * 2


def test_a_frozen_parameter_does_not_travel() -> None:
    """Only what is trained leaves a client."""
    source = model()
    before = source[1].bias.clone()  # type: ignore[index]
    load(source, np.zeros(dimension(source), np.float32))
    assert torch.equal(source[1].bias, before)  # type: ignore[index]
    assert len(trainable(source)) == 3


def test_a_flattened_vector_is_a_copy() -> None:
    """Training on does not change a vector that was taken before."""
    source = model()
    vector = flatten(source)
    kept = vector.copy()
    load(source, vector + 1)
    assert np.array_equal(vector, kept)


@pytest.mark.parametrize("shape", [(0,), (11,), (13,), (12, 1)])
def test_a_vector_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    """Nothing is overwritten in part."""
    source = model()
    before = flatten(source)
    with pytest.raises(MessageError, match=r"shape \(12,\)"):
        load(source, np.zeros(shape, np.float32))
    assert np.array_equal(flatten(source), before)


def test_a_model_without_trainable_parameters_is_an_empty_vector() -> None:
    """No special case for callers."""
    assert flatten(nn.ReLU()).shape == (0,)


def test_what_is_laid_aside_holds_no_memory_until_it_is_loaded() -> None:
    """Then it is as it was; a part that stays is left alone."""
    source = model()
    vector, frozen = flatten(source), source[1].bias.clone()  # type: ignore[index]
    lay_aside(trainable(source))
    assert all(weight.untyped_storage().nbytes() == 4 for weight in trainable(source))
    assert not flatten(source).any()
    for _ in range(2):
        load(source, vector)
        assert flatten(source).tobytes() == vector.tobytes()
    assert all(weight.is_contiguous() for weight in trainable(source))
    assert torch.equal(source[1].bias, frozen)  # type: ignore[index]


def test_what_lies_on_a_device_stays_there() -> None:
    """Its memory is another."""
    source = model().to("meta")
    before = [weight.stride() for weight in trainable(source)]
    lay_aside(trainable(source))
    assert [weight.stride() for weight in trainable(source)] == before
