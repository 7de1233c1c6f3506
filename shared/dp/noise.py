"""Gaussian noise from a cryptographic stream."""

import numpy as np

from shared.dp.clipping import Vector
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError


def gaussian_noise(count: int, stddev: float, *, stream: RandomStream) -> Vector:
    """Independent 𝒩(0, stddev²), shape (count,), float64.

    Args:
        count: Length d of the noise.
        stddev: Absolute standard deviation σ = z·Δ₂ > 0.
        stream: Where the noise comes from; used for this noise alone.

    Raises:
        ConfigurationError: `stddev` is not positive and finite: no noise is no privacy.

    Source: Dwork & Roth 2014, appendix A; not protected against floating-point attacks.
    """
    if not (np.isfinite(stddev) and stddev > 0):
        raise ConfigurationError(f"stddev must be positive and finite, got {stddev!r}")
    noise = stream.gaussian(count)
    noise *= stddev
    return noise
