"""Inputs shifted and scaled by statistics of all sites, which were found with noise.

Applying them is post-processing of what was released: it costs no privacy.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.errors import ConfigurationError, MessageError
from shared.parameters import FlatVector
from shared.task import Examples

_LEAST_STDDEV = 1e-2  # of the range of the inputs
_LEAST_COUNT = 1.0


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(x - mean) / stddev for the first input, one pair for each channel or one for all.

    Attributes:
        mean: In units of the inputs.
        stddev: Positive, likewise.
    """

    mean: tuple[float, ...]
    stddev: tuple[float, ...]

    def apply(self, examples: Examples) -> Examples:
        """The same examples with the first input normalised."""
        first, *rest = examples.inputs
        return Examples((self.shifted(first), *rest), examples.targets)

    def shifted(self, inputs: Tensor) -> Tensor:
        """The first input, shape (n, ...), normalised."""
        check_channels(inputs, len(self.mean))
        shape = (1, -1, *[1] * (inputs.ndim - 2)) if len(self.mean) > 1 else [1] * inputs.ndim
        mean = torch.tensor(self.mean, dtype=inputs.dtype, device=inputs.device).view(*shape)
        stddev = torch.tensor(self.stddev, dtype=inputs.dtype, device=inputs.device).view(*shape)
        return (inputs - mean) / stddev

    def vector(self) -> FlatVector:
        """Means, then standard deviations: shape (2 · channels,), float32."""
        return np.array([*self.mean, *self.stddev], dtype=np.float32)

    @classmethod
    def from_vector(cls, vector: FlatVector) -> Self | None:
        """Inverse of `vector`; None for no numbers. Raises MessageError on any other form."""
        if not len(vector):
            return None
        channels, odd = divmod(len(vector), 2)
        if odd or not np.isfinite(vector).all() or (vector[channels:] <= 0.0).any():
            raise MessageError(
                "expected means and positive standard deviations, got another vector"
            )
        numbers = [float(value) for value in vector]
        return cls(tuple(numbers[:channels]), tuple(numbers[channels:]))

    @classmethod
    def from_sums(cls, sums: NDArray[np.float64], low: float, high: float) -> Self:
        """From noisy sums of (scaled means, scaled mean squares, 1); any sums give a valid one.

        Args:
            sums: Shape (2 · channels + 1,), as `statistics_rows` lays a row out.
            low: Public lower end of the inputs' range.
            high: Public upper end.
        """
        channels = len(sums) // 2
        count = max(float(sums[-1]), _LEAST_COUNT)
        means = np.clip(sums[:channels] / count, 0.0, 1.0)
        variances = sums[channels : 2 * channels] / count - means**2
        stddevs = np.sqrt(np.clip(variances, _LEAST_STDDEV**2, 0.25))
        width = high - low
        # As it travels and is kept, so that a resumed run goes on with the same numbers.
        return cls(
            tuple(float(np.float32(low + width * mean)) for mean in means),
            tuple(float(np.float32(width * stddev)) for stddev in stddevs),
        )


def statistics_rows(inputs: Tensor, channels: int, low: float, high: float) -> NDArray[np.float64]:
    """A row for each example: scaled means, scaled mean squares, 1; shape (n, 2 · channels + 1).

    Raises:
        ConfigurationError: the inputs are not numbers of as many channels.
    """
    check_channels(inputs, channels)
    scaled = ((inputs.double() - low) / (high - low)).clamp(0.0, 1.0).nan_to_num(0.0)
    flat = scaled.reshape(len(inputs), channels, -1)
    columns = [flat.mean(2), flat.square().mean(2), torch.ones(len(inputs), 1, dtype=flat.dtype)]
    rows: NDArray[np.float64] = torch.cat(columns, dim=1).cpu().numpy()
    return rows


def check_channels(inputs: Tensor, channels: int) -> None:
    """Raise ConfigurationError unless `inputs` are fractions with so many channels, or one."""
    if not inputs.is_floating_point():
        raise ConfigurationError(f"statistics need inputs that are fractions, got {inputs.dtype!s}")
    if channels > 1 and (inputs.ndim < 2 or inputs.shape[1] != channels):
        raise ConfigurationError(
            f"statistics.channels = {channels} must be the inputs' second axis, got shape "
            f"{tuple(inputs.shape)}"
        )
