"""The L2 bound on what one unit contributes.

Source: Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133); McMahan et al. 2018 for whole updates.
We deviate: an update that is not finite becomes zero, so that it can neither pass the bound nor
stop the run.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError

Vector = NDArray[np.float64]  # (d,)
_SMALLEST = 1e-200  # below, squares may have underflowed
_BLOCK = 1 << 16  # numbers at a time: bounds memory, stays in cache


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
    vector = update.astype(np.float64)
    if (factor := _factor(vector, clipping_norm)) is not None:
        if factor < 1.0:
            vector *= factor
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


def clip_single(update: NDArray[np.floating], clipping_norm: float) -> NDArray[np.float32]:
    """As `clip(update, clipping_norm).astype(np.float32)`, bit for bit, without a wider copy.

    Args:
        update: As `clip` takes it, like the rest.
        clipping_norm: Likewise.

    Raises:
        ConfigurationError: as `clip` does.
    """
    factor = _factor(update, clipping_norm)
    if factor is None:
        return clip(update, clipping_norm).astype(np.float32)
    if factor == 1.0:
        return update.astype(np.float32)
    clipped = np.empty(len(update), dtype=np.float32)
    for start in range(0, len(update), _BLOCK):
        part = update[start : start + _BLOCK].astype(np.float64)
        part *= factor
        clipped[start : start + _BLOCK] = part
    return clipped


def add_clipped(
    total: Vector,
    updates: Sequence[NDArray[np.floating]],
    clipping_norm: float | None,
    used: Callable[[int], None] = lambda _end: None,
) -> None:
    """As `total += clip(update, clipping_norm)` for each in turn, bit for bit, without copies.

    Args:
        total: Shape (d,), changed in place.
        updates: As `clip` takes them, like the rest.
        clipping_norm: Likewise; None: they are added as they are.
        used: Told up to where the updates are added and will not be looked at again.

    Raises:
        ConfigurationError: as `clip` does; nothing is added then.
    """
    parts = [_clippable(update, clipping_norm) for update in updates]
    for start in range(0, len(total), _BLOCK):
        block = slice(start, start + _BLOCK)
        for update, factor in parts:
            part = update[block].astype(np.float64)
            if factor < 1.0:
                part *= factor
            total[block] += part
        used(min(start + _BLOCK, len(total)))


def _clippable(
    update: NDArray[np.floating], clipping_norm: float | None
) -> tuple[NDArray[np.floating], float]:
    """A vector that, times a factor, is the update clipped."""
    if clipping_norm is None:
        return update, 1.0
    factor = _factor(update, clipping_norm)
    return (clip(update, clipping_norm), 1.0) if factor is None else (update, factor)


def _factor(update: NDArray[np.floating], clipping_norm: float) -> float | None:
    """What brings `update` to length C, or 1; None: its squares say nothing about its length."""
    if not (np.isfinite(clipping_norm) and clipping_norm > 0):
        raise ConfigurationError(
            f"clipping_norm must be positive and finite, got {clipping_norm!r}"
        )
    squared = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(update), _BLOCK):
            part = update[start : start + _BLOCK].astype(np.float64, copy=False)
            # Not `dot`: it would share the sum out among as many threads as there are processors,
            # so that its last bit depended on the machine, and wait for those of other clients.
            squared += float(np.einsum("i,i->", part, part))
    # NaN, infinity, overflow and underflow all fail the comparison, and take the careful way.
    if not _SMALLEST < squared < np.inf:
        return None
    norm = math.sqrt(squared)
    return clipping_norm / norm if norm > clipping_norm else 1.0
