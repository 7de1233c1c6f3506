"""The L2 bound on what one unit contributes.

Source: Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133); McMahan et al. 2018 for whole updates.
We deviate: an update that is not finite becomes zero, so that it can neither pass the bound nor
stop the run.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError

Vector = NDArray[np.float64]  # (d,)
_SMALLEST = 1e-200  # below, squares may have underflowed


def clip(update: NDArray[np.floating], clipping_norm: float) -> Vector:
    """‖clip(x)‖₂ ≤ C(1 + (d + 4)·2⁻⁵³), for every input: C, but for rounding.

    clip(x) = x · min(1, C / ‖x‖₂), in double precision.

    Args:
        update: Flat update, shape (d,).
        clipping_norm: L2 bound C > 0, in units of `update`.

    Returns:
        Shape (d,), float64, a copy.

    Raises:
        ConfigurationError: `clipping_norm` is not positive and finite.

    Edge cases: zero -> zero; any NaN or infinity -> zero, since no scaled version of it would be
    bounded; finite numbers whose squares overflow are clipped like any other.

    >>> clip(np.array([3.0, 4.0]), 2.5).tolist()
    [1.5, 2.0]
    """
    if not (np.isfinite(clipping_norm) and clipping_norm > 0):
        raise ConfigurationError(
            f"clipping_norm must be positive and finite, got {clipping_norm!r}"
        )
    vector = update.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        # Not `dot`: it would share the sum out among as many threads as there are processors, so
        # that its last bit depended on the machine, and wait for those that other clients keep.
        squared = float(np.einsum("i,i->", vector, vector))
    # One pass in the ordinary case. NaN, infinity, overflow and underflow all fail the comparison,
    # and take the careful way below.
    if _SMALLEST < squared < np.inf:
        if (norm := math.sqrt(squared)) > clipping_norm:
            vector *= clipping_norm / norm
        return vector
    largest = float(np.max(np.abs(vector), initial=0.0))
    # Guarantee: NaN fails the comparison too, so nothing but a finite vector goes on.
    if not 0.0 < largest < np.inf:
        return np.zeros_like(vector)
    norm = largest * float(np.linalg.norm(vector / largest))
    if norm > clipping_norm:
        vector /= largest
        vector *= clipping_norm / float(np.linalg.norm(vector))
    return vector
