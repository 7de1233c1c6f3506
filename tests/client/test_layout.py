"""Layouts: the same numbers, in the order that was asked for, of one channel too."""

import pytest
import torch
from torch import nn

from client.layout import as_usual, channels_last, convolves
from shared.task import Examples


@pytest.mark.parametrize("channels", [1, 3])
def test_strides_say_what_was_asked_for(channels: int) -> None:
    """Of one channel too, whose memory lies both ways; back and forth, with the same numbers."""
    images = torch.arange(2.0 * channels * 5 * 4).view(2, channels, 5, 4)
    given = Examples((images, torch.zeros(2, 3)), torch.zeros(2))
    last = channels_last(given)
    assert last.inputs[0].stride() == (20 * channels, 1, 4 * channels, channels)
    usual = as_usual(last)
    assert usual.inputs[0].stride() == (20 * channels, 20, 4, 1)
    for found in (last, usual):
        assert torch.equal(found.inputs[0], images)
        assert found.inputs[1] is given.inputs[1]


def test_what_a_convolution_gives_lies_as_its_images_do() -> None:
    """So that pooling is fast after the first layer, and Opacus never meets channels last."""
    images = Examples((torch.ones(2, 1, 6, 6),), torch.zeros(2))
    layer = nn.Conv2d(1, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert convolves(layer)
    assert layer(*channels_last(images).inputs).stride(1) == 1
    layer.to(memory_format=torch.contiguous_format)
    assert layer(*as_usual(channels_last(images)).inputs).stride(1) == 16
