"""An update in fewer bytes: numbers of 8 bits, rounded at random; or the largest few alone.

Both give a vector that is what the receiver will read, bit for bit, and `pack` writes it down:
quantised    x ∈ {-127, .., 127}·M/127, M the largest magnitude: 4 + d bytes
top_k        ⌈share·d⌉ of the numbers at most, others 0: 4 bytes each, and one bit for every number

A compressed vector times a number can be packed too, but for rounding (`snapped`), so an update can
be clipped after it was compressed.

Source: Alistarh et al. 2017 (QSGD, arXiv:1610.02132); Stich et al. 2018 (arXiv:1809.07599) for what
is left out and sent later.
"""

import math

import numpy as np

from shared.dp.randomness import RandomStream
from shared.dp.update_plan import TOP_K
from shared.errors import MessageError
from shared.vectors import FlatVector

_LEVELS = 127
_SMALLEST = 1e-30  # below, a level would not be a normal number


def quantised(vector: FlatVector, stream: RandomStream) -> FlatVector:
    """E[result] = `vector`, but for float32's rounding; each number on one of 255 levels.

    Args:
        vector: Finite, shape (d,), float32.
        stream: Of this vector alone.
    """
    largest = _largest(vector)
    if largest < _SMALLEST:
        return np.zeros_like(vector)
    exact = vector.astype(np.float64) * (_LEVELS / largest)
    below = np.floor(exact)
    # Guarantee: a number rounds up with the probability of its fraction, so no rounding pulls.
    levels = below + (stream.uniform(len(vector)) < exact - below)
    return _at(levels, largest)


def largest_few(vector: FlatVector, share: float) -> FlatVector:
    """The ⌈share·d⌉ numbers of largest magnitude, of equal ones the first; the others are 0."""
    found: FlatVector = np.zeros_like(vector)
    order = np.argsort(-np.abs(vector), kind="stable")[: count_of(len(vector), share)]
    found[order] = vector[order]
    return found


def count_of(length: int, share: float) -> int:
    """How many numbers of a vector are sent."""
    return math.ceil(share * length)


def pack(vector: FlatVector, kind: str) -> bytes:
    """What `unpack` reads; `vector` as `quantised` or `largest_few` made it."""
    if kind == TOP_K:
        kept = vector != 0.0
        places: bytes = np.packbits(kept).tobytes()
        numbers: bytes = vector[kept].astype("<f4").tobytes()
        return places + numbers
    largest, levels = _largest(vector), np.zeros(len(vector))
    if largest > 0.0:
        levels = vector.astype(np.float64) * (_LEVELS / largest)
    head: bytes = np.array([largest], dtype="<f4").tobytes()
    rest: bytes = np.rint(levels).astype(np.int8).tobytes()
    return head + rest


def snapped(vector: FlatVector, kind: str) -> FlatVector:
    """What the receiver of `vector`, packed, will read; itself, but for rounding."""
    return unpack(pack(vector, kind), kind, len(vector), 1.0)


def unpack(content: bytes, kind: str, length: int, share: float) -> FlatVector:
    """The vector, shape (length,), float32.

    Args:
        content: A peer's.
        kind: Of the plan.
        length: Of the vector.
        share: Of it that may be sent, for `top_k`.

    Raises:
        MessageError: not of this kind and length.
    """
    return _few(content, length, share) if kind == TOP_K else _levels(content, length)


def _few(content: bytes, length: int, share: float) -> FlatVector:
    places = math.ceil(length / 8)
    most = count_of(length, share)
    kept = np.unpackbits(np.frombuffer(content[:places], dtype=np.uint8)).astype(bool)
    count = int(kept.sum())
    fits = len(content) == places + 4 * count and len(kept) >= length
    if not fits or kept[length:].any() or count > most:
        raise MessageError(f"expected at most {most} of {length} numbers, got {len(content)} bytes")
    vector: FlatVector = np.zeros(length, dtype=np.float32)
    vector[kept[:length]] = np.frombuffer(content[places:], dtype="<f4")
    return vector


def _levels(content: bytes, length: int) -> FlatVector:
    if len(content) != 4 + length:
        raise MessageError(f"expected {4 + length} bytes, got {len(content)}")
    largest = float(np.frombuffer(content[:4], dtype="<f4")[0])
    levels = np.frombuffer(content[4:], dtype=np.int8)
    if not (math.isfinite(largest) and largest >= 0.0 and levels.min(initial=0) >= -_LEVELS):
        raise MessageError("expected a finite largest magnitude and levels within it, got others")
    return _at(levels.astype(np.float64), largest)


def _at(levels: np.ndarray[tuple[int, ...], np.dtype[np.float64]], largest: float) -> FlatVector:
    found: FlatVector = (levels * (largest / _LEVELS)).astype(np.float32)
    return found


def _largest(vector: FlatVector) -> float:
    return float(np.max(np.abs(vector), initial=0.0))
