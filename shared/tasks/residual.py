"""A small residual network with group norm: no layer mixes examples or keeps statistics of them.

Group norm takes its mean and variance within one example. Two stages suffice for 28x28 images, and
few parameters do better under noise, whose norm grows as the square root of their number.

Source: He et al. 2016 (arXiv:1512.03385), the block of figure 2; Wu & He 2018 (arXiv:1803.08494)
for the norm; De et al. 2022 (arXiv:2204.13650) for both under DP-SGD.
"""

from torch import Tensor, nn

_GROUPS = 4


class Residual(nn.Module):
    """x + f(x), of the shape of x.

    Args:
        inner: f, which keeps the shape.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape of `inputs`, which stay as they are."""
        outputs: Tensor = inputs + self.inner(inputs)
        return outputs


def convolved(before: int, after: int, *, stride: int = 1) -> list[nn.Module]:
    """A 3x3 convolution and its norm; stride 2 halves both sides."""
    return [
        nn.Conv2d(before, after, 3, stride=stride, padding=1),
        nn.GroupNorm(_GROUPS, after),
    ]


def residual(channels: int) -> Residual:
    """Two convolutions that are added to what came in."""
    return Residual(
        nn.Sequential(*convolved(channels, channels), nn.ReLU(), *convolved(channels, channels))
    )


def resnet(classes: int = 10) -> nn.Module:
    """Two stages of 16 and 32 channels: 31,114 parameters, 28x28x1 -> 10."""
    return nn.Sequential(
        *convolved(1, 16, stride=2), nn.ReLU(), residual(16), nn.ReLU(),
        *convolved(16, 32, stride=2), nn.ReLU(), residual(32), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32 * 3 * 3, classes),
    )  # fmt: skip
