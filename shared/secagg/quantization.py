"""From a clipped vector to whole numbers, and from their sum back.

The vector is turned by a random rotation, so that no number of it is much larger than the others;
scaled; and rounded at random, without bias. That moves it: noise must be measured by `sensitivity`
or `moved`, and not by scale · C.

Where a unit is a whole vector, rounding is repeated until the norm of what comes out is at most
`sensitivity`. Where it is a part of one, each number is rounded up or down by a number of its own
that does not depend on the data, so that two vectors that differ by C differ by at most `moved(C)`
after it: |⌊x + u⌋ - ⌊y + u⌋| < |x - y| + 1 whatever u is.

Source: Kairouz, Liu & Steinke 2021 (arXiv:2102.06387), algorithm 1 and proposition 22; Ailon &
Chazelle 2006 for the rotation.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError, ProtocolError
from shared.secagg.prg import mask
from shared.secagg.ring import Integers

Vector = NDArray[np.float64]
_LOG_BETA = -0.5  # a rounding is thrown away with probability e^-½ at most
_TRIES = 1000
_FACTOR = 32  # rows of a matrix of the rotation
_FLOAT = 1e-9  # what rounding of floats may add to a norm, as a share of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """How the vectors of one round become whole numbers; public, the same for all.

    Attributes:
        clipping_norm: C, of a vector that comes in.
        scale: Units a number of 1 has; finer with more, until a sum wraps.
        dimension: d of a vector that comes in.
        rotation: 32 bytes that all know, fresh for each round; it hides nothing. Empty: none.
    """

    clipping_norm: float
    scale: float
    dimension: int
    rotation: bytes

    def __post_init__(self) -> None:
        """Refuse what is no scale, norm or length."""
        values = (self.clipping_norm, self.scale, self.dimension)
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise ConfigurationError(
                f"expected a clipping norm, scale and dimension above 0, got {values}"
            )

    @property
    def padded(self) -> int:
        """Length of what comes out: the next power of two, if it is rotated."""
        return self.dimension if not self.rotation else 1 << (self.dimension - 1).bit_length()

    @property
    def sensitivity(self) -> float:
        """Largest L2 norm of what comes out, in units."""
        reach, root = self.scale * self.clipping_norm, math.sqrt(self.padded)
        spread = math.sqrt(-2.0 * _LOG_BETA) * (reach + root / 2.0)
        return min(reach + root, math.sqrt(reach**2 + self.padded / 4.0 + spread))

    def moved(self, norm: float) -> float:
        """Most by which `rounded` differs in L2, in units, where vectors differ by `norm`."""
        return self.scale * norm * (1.0 + _FLOAT) + math.sqrt(self.padded)

    def rounded(self, vector: Vector, stream: RandomStream) -> Integers:
        """Whole numbers, shape (padded,), rounded once and whatever their norm; see `moved`.

        Args:
            vector: Shape (d,), finite, of norm at most C.
            stream: Of this rounding alone.

        Raises:
            ProtocolError: as `quantize`.
        """
        scaled = self._scaled(vector)
        # Guarantee: the same thresholds whatever the vector is.
        scaled += stream.thresholds(len(scaled))
        whole: Integers = np.floor(scaled).astype(np.int64)
        return whole

    def quantize(self, vector: Vector, stream: RandomStream) -> Integers:
        """Whole numbers, shape (padded,), of norm at most `sensitivity`.

        Args:
            vector: Shape (d,), finite, of norm at most C.
            stream: Of this rounding alone.

        Raises:
            ProtocolError: another shape, not finite, or a norm above C.
        """
        scaled = self._scaled(vector)
        low = np.floor(scaled)
        share = scaled - low
        for _ in range(_TRIES):
            rounded = low + (stream.thresholds(len(low)) < share)
            # Exact: a sum of squares of whole numbers, far below 2⁵³.
            if float(np.dot(rounded, rounded)) <= self.sensitivity**2:
                return rounded.astype(np.int64)
        raise ProtocolError(f"expected a rounding within the sensitivity in {_TRIES} tries")

    def restore(self, total: Integers) -> Vector:
        """The vector of which `total` is a sum of quantized ones, shape (d,)."""
        scaled: Vector = total.astype(np.float64) / self.scale
        if not self.rotation:
            return scaled
        turned: Vector = _hadamard(scaled) * self._signs()
        return turned[: self.dimension]

    def _scaled(self, vector: Vector) -> Vector:
        norm = float(np.linalg.norm(vector))
        # Guarantee: NaN is not at most anything. A clip may leave the last bits above C.
        if vector.shape != (self.dimension,) or not norm <= self.clipping_norm * (1.0 + _FLOAT):
            raise ProtocolError(f"expected {self.dimension} numbers of norm at most the clip")
        if not self.rotation:
            return self.scale * vector
        padded = np.zeros(self.padded)
        np.multiply(vector, self._signs()[: self.dimension], out=padded[: self.dimension])
        turned = _hadamard(padded)
        turned *= self.scale
        return turned

    def _signs(self) -> NDArray[np.int8]:
        words = mask(self.rotation, -(-self.padded // 32), np.uint32)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: self.padded]
        return 1 - 2 * bits.view(np.int8)


def _hadamard(vector: Vector) -> Vector:
    """The orthonormal Walsh-Hadamard transform, its own inverse; shape (2^m,).

    A product of matrices of at most 32 rows along the axes of the vector as a box, which is
    several times as fast as additions of halves.
    """
    size = min(_FACTOR, len(vector))
    left, right = len(vector) // size, size
    out: Vector = vector.reshape(left, right) @ _matrix(size)
    while left > 1:
        size = min(_FACTOR, left)
        left //= size
        out = np.matmul(_matrix(size), out.reshape(left, size, right))
        right *= size
    out = out.ravel()
    out /= math.sqrt(len(out))
    return out


@lru_cache(maxsize=8)
def _matrix(size: int) -> Vector:
    """Hadamard's of `size` = 2^m rows, of +1 and -1."""
    found = np.ones((1, 1))
    while len(found) < size:
        found = np.block([[found, found], [found, -found]])
    return found
