"""What the data are asked besides training: bounded sums, with noise, charged like a step.

A query asks each unit for a vector of `width` numbers in [0, 1], so that one unit changes the sum
by at most √width in L2; the noise on the sum has standard deviation z·√width. A query without
noise does not exist.
"""

import math
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.domains import check_domains, non_negative, positive
from shared.dp.clipping import Vector, clip
from shared.dp.noise import gaussian_noise
from shared.dp.randomness import RandomStream


@dataclass(frozen=True, slots=True, kw_only=True)
class SumQuery:
    """One kind of question, and how often it is asked.

    Attributes:
        noise_multiplier: z, relative to the sensitivity √width.
        width: Numbers a unit contributes, each in [0, 1].
        every: Rounds between two; 0: once, before the first round.
    """

    noise_multiplier: float = field(metadata=positive())
    width: int = field(metadata=positive())
    every: int = field(metadata=non_negative())

    def __post_init__(self) -> None:
        """Refuse a question without noise."""
        check_domains(type(self), asdict(self), "")

    @property
    def clipping_norm(self) -> float:
        """L2 bound on one unit's vector."""
        return math.sqrt(self.width)

    @property
    def noise_stddev(self) -> float:
        """Standard deviation of the noise on the sum."""
        return self.noise_multiplier * self.clipping_norm

    def times(self, rounds: int) -> int:
        """How often it is asked in `rounds` rounds."""
        return rounds // self.every if self.every else 1

    def due(self, round_number: int) -> bool:
        """Whether it is asked after this round; never, if once before the first."""
        return self.every > 0 and round_number % self.every == 0


def noisy_sum(rows: NDArray[np.floating], query: SumQuery, *, stream: RandomStream) -> Vector:
    """Σ rows + 𝒩(0, z²·width): one row more or less changes the sum by at most √width.

    Args:
        rows: Shape (n, width); n may be 0. Numbers outside [0, 1] are cut, NaN counts as 0.
        query: Noise and width.
        stream: Noise of this sum alone.

    Returns:
        Shape (width,).
    """
    total: Vector = bounded(rows).sum(axis=0, dtype=np.float64)
    return total + gaussian_noise(query.width, query.noise_stddev, stream=stream)


def mean_row(rows: NDArray[np.floating]) -> Vector:
    """One unit's vector where the unit is all rows: their mean, zero where there are none."""
    if not len(rows):
        return np.zeros(rows.shape[1])
    mean: Vector = bounded(rows).mean(axis=0, dtype=np.float64)
    return mean


def noisy_sum_of_units(vectors: list[Vector], query: SumQuery, *, stream: RandomStream) -> Vector:
    """Σ clip(vector) + 𝒩(0, z²·width), whatever the units sent; shape (width,)."""
    total = np.zeros(query.width)
    for vector in vectors:
        # Guarantee: the sensitivity of the sum is √width whatever a client sends.
        total += clip(vector, query.clipping_norm)
    return total + gaussian_noise(query.width, query.noise_stddev, stream=stream)


def bounded(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """`rows` with each number in [0, 1]; NaN becomes 0."""
    clean = np.nan_to_num(rows.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
    clipped: NDArray[np.float64] = np.clip(clean, 0.0, 1.0)
    return clipped
