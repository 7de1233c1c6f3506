"""A second implementation of the numbers of secure aggregation: ring, field, thresholds, rounding.

Written from docs/secure-aggregation-format.md like tests/secagg_verifier.py, and like it of nothing
of ours: tails in whole numbers, vectors in Python's own doubles.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PRIME = 2**256 - 189


def rows(content: bytes, width: int = 32) -> list[bytes]:
    """`content` in pieces."""
    return [content[at : at + width] for at in range(0, len(content), width)]


def numbers(content: bytes) -> list[int]:
    """Each 32 bytes as a number of the field."""
    return [int.from_bytes(row, "big") % PRIME for row in rows(content)]


def written(values: Iterable[int]) -> bytes:
    """Inverse of `numbers`."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def pack(words: Sequence[int], bits: int) -> bytes:
    """All numbers as one, the first in its lowest bits."""
    length = 5 * -(-len(words) // 2) if bits == 20 else len(words) * bits // 8
    return sum(word << bits * place for place, word in enumerate(words)).to_bytes(length, "little")


def unpack(content: bytes, dimension: int, bits: int) -> list[int]:
    """Inverse of `pack`."""
    whole = int.from_bytes(content, "little")
    return [(whole >> bits * place) % 2**bits for place in range(dimension)]


@lru_cache(maxsize=64)
def weights(places: tuple[int, ...], at: int) -> list[int]:
    """Lagrange's, modulo the prime."""
    found = []
    for x in places:
        others = [other for other in places if other != x]
        above, below = (math.prod(y - other for other in others) for y in (at, x))
        found.append(above * pow(below, -1, PRIME) % PRIME)
    return found


def value_at(at: int, points: Mapping[int, int]) -> int:
    """Of the polynomial through `points`: place and value of each."""
    factors = weights(tuple(points), at)
    return sum(w * value for w, value in zip(factors, points.values(), strict=True)) % PRIME


def most(population: int, marked: int, drawn: int, level: Fraction) -> int:
    """The fewest k that a draw exceeds with probability `level` at most."""
    ways = [
        math.comb(marked, held) * math.comb(population - marked, drawn - held)
        for held in range(min(marked, drawn) + 1)
    ]
    allowed = level * math.comb(population, drawn)
    return next(k for k in range(len(ways)) if sum(ways[k + 1 :]) <= allowed)


def parameters(
    n: int, roster: int, fractions: Sequence[float], helpers: int = 0
) -> tuple[int, int, int, int]:
    """Size and threshold of the committee, span (0: all with all), fewest survivors."""
    corrupt = min(math.floor(roster * fractions[0] + 1e-9), n)
    dropped = math.floor(n * fractions[1] + 1e-9)
    security, correctness = Fraction(1, 2**100), Fraction(1, 2**30)
    size = threshold = helpers
    for size in () if helpers else [n] if n <= 40 else range(10, n + 1):
        threshold = (size + most(n, corrupt, size, security)) // 2 + 1
        if threshold <= size - most(n, dropped, size, correctness):
            break
    for span in () if helpers or n <= 40 else range(1, (n - 1) // 2 + 1):
        gone = most(n, dropped, span, correctness / n)
        if span - gone > most(n, corrupt, span, security / n):
            return size, threshold, span, n - dropped
    return size, threshold, 0, n - dropped


def uniforms(key: bytes) -> Iterator[float]:
    """Multiples of 2⁻³² out of a ChaCha20 stream."""
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    while True:
        yield int.from_bytes(stream.update(bytes(4)), "little") * 2.0**-32


def hadamard(vector: Sequence[float]) -> list[float]:
    """Orthonormal; doubles, added in the order of the page."""
    out, half = list(vector), 1
    while half < len(out):
        out = [
            out[i - half] - out[i] if i & half else out[i] + out[i + half] for i in range(len(out))
        ]
        half *= 2
    return [value / math.sqrt(len(out)) for value in out]


def turned(vector: Sequence[float], rotation: bytes, *, back: bool = False) -> list[float]:
    """Signs and transform, or transform and signs; nothing without a key."""
    if not rotation:
        return list(vector)
    values = list(vector) + [0.0] * ((1 << (len(vector) - 1).bit_length()) - len(vector))
    stream = Cipher(algorithms.AES(rotation), modes.CTR(bytes(16))).encryptor()
    bits = int.from_bytes(stream.update(bytes(-(-len(values) // 8))), "little")
    signs = [-1.0 if bits >> place & 1 else 1.0 for place in range(len(values))]
    if back:
        return [value * sign_of for value, sign_of in zip(hadamard(values), signs, strict=True)]
    return hadamard([value * sign_of for value, sign_of in zip(values, signs, strict=True)])


def rounded(
    vector: Sequence[float], scale: float, rotation: bytes, stream: Iterator[float]
) -> list[int]:
    """Whole numbers of a part of a vector."""
    return [math.floor(scale * x + next(stream)) for x in turned(vector, rotation)]


def quantized(
    vector: Sequence[float], reach: float, scale: float, rotation: bytes, stream: Iterator[float]
) -> list[int]:
    """Whole numbers of a whole vector that is clipped to `reach`."""
    scaled = [scale * x for x in turned(vector, rotation)]
    size, root, units = len(scaled), math.sqrt(len(scaled)), scale * reach
    bound = min(units + root, math.sqrt(units**2 + size / 4 + (units + root / 2)))
    while True:
        whole = [math.floor(x) + (next(stream) < x - math.floor(x)) for x in scaled]
        if sum(value * value for value in whole) <= bound**2:
            return whole


def restored(total: Sequence[int], scale: float, rotation: bytes, dimension: int) -> list[float]:
    """The sum of the vectors."""
    return turned([value / scale for value in total], rotation, back=True)[:dimension]
