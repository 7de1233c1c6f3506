"""Secrets in shares: any `threshold` of them give it back, fewer say nothing about it.

Over the prime field of 2²⁵⁶ - 189, in which a seed of 32 bytes lies once it is reduced. Share x is
the polynomial's value at x = 1, 2, ..; the secret its value at 0. The first threshold - 1 shares
are given and not drawn here: they may be derived from keys that the sharer has with their holders,
and then need not be sent. They fix the polynomial together with the secret.

Source: Shamir 1979. We deviate: the polynomial is chosen by its values instead of its coefficients,
which is the same choice. A matrix of weights brings values from some places to others, in limbs
of 16 bits whose products floats add up exactly.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError, ProtocolError

_FOLD = 189  # 2²⁵⁶ modulo the prime
PRIME = 2**256 - _FOLD
_BYTES = 32
_LIMBS = 16
_BLOCK = 512  # columns at once: stays in the cache


def in_field(seed: bytes) -> bytes:
    """`seed` modulo the prime: what may be shared. Uniform but for 2⁻²⁴⁸."""
    return (int.from_bytes(seed, "big") % PRIME).to_bytes(_BYTES, "big")


def all_in_field(content: bytes) -> bytes:
    """`in_field` of each 32 bytes of `content`."""
    if is_shares(content, len(content) // _BYTES):
        return content
    rows = (content[start : start + _BYTES] for start in range(0, len(content), _BYTES))
    return b"".join(map(in_field, rows))


def is_shares(content: bytes, count: int) -> bool:
    """Whether `content` can be `count` shares: each 32 bytes below the prime."""
    if len(content) != count * _BYTES:
        return False
    words = np.frombuffer(content, dtype=">u8").reshape(count, 4)
    # Above the prime all bits but the lowest 64 are set.
    above = (words[:, :3] == 2**64 - 1).all(axis=1) & (words[:, 3] > 2**64 - 1 - _FOLD)
    return not above.any()


def completed(values: bytes, given: Sequence[bytes], holders: int) -> list[bytes]:
    """The shares of the holders from the threshold on: len(given) + 1, .., holders.

    Args:
        values: Secrets of 32 bytes in the field, one after the other.
        given: What each of the first holders has: its share of every value. One more than these
            are the threshold. Uniform and independent of the values, or nothing is secret.
        holders: How many in all.

    Raises:
        ConfigurationError: a number that is not in the field, or more given than holders.
    """
    rows = [values, *given]
    if {len(row) for row in rows} != {len(values)} or not is_shares(
        b"".join(rows), len(rows) * len(values) // _BYTES
    ):
        raise ConfigurationError("expected secrets and shares of 32 bytes in the field")
    if len(rows) > holders:
        raise ConfigurationError(
            f"expected a threshold from 1 to {holders} shares, got {len(rows)}"
        )
    return interpolated(tuple(range(len(rows))), tuple(range(len(rows), holders + 1)), rows)


def interpolated(
    places: tuple[int, ...], at: tuple[int, ...], rows: Sequence[bytes]
) -> list[bytes]:
    """The values at `at` of the polynomials of lowest degree with the values `rows` at `places`.

    Args:
        places: Different places, 0 or higher; the secret is at 0.
        at: Other places than these.
        rows: For each of `places` the same number of values of 32 bytes.

    Returns:
        For each of `at` as many values.

    Raises:
        ProtocolError: a place twice or below 0, or rows that do not fit.
    """
    lengths = {len(row) for row in rows}
    if len(rows) != len(places) or len(lengths) != 1 or lengths.pop() % _BYTES:
        raise ProtocolError("expected equally many values of 32 bytes at each place")
    if len({*places, *at}) != len(places) + len(at) or min(places) < 0:
        raise ProtocolError("expected different places")
    weights = _weights(places, at)
    size = _BLOCK * _BYTES
    blocks = [
        _combined(weights, [row[start : start + size] for row in rows])
        for start in range(0, len(rows[0]), size)
    ]
    return [b"".join(parts) for parts in zip(*blocks, strict=True)] if blocks else [b""] * len(at)


def _combined(weights: NDArray[np.float64], rows: Sequence[bytes]) -> list[bytes]:
    count = len(rows[0]) // _BYTES
    limbs = _limbs(b"".join(rows), (len(rows), count)).astype(np.float64)
    flat = limbs.reshape(len(rows), _LIMBS * count)
    # Exact: each number is a sum of at most 16·len(rows) products below 2³².
    product = weights.reshape(-1, len(rows)) @ flat
    parts = product.reshape(_LIMBS, -1, _LIMBS, count)
    sums = np.zeros((parts.shape[1], 2 * _LIMBS, count))
    for place in range(_LIMBS):
        sums[:, place : place + _LIMBS] += parts[place]
    whole = sums.astype(np.int64).transpose(1, 0, 2)
    return _in_bytes(whole[:_LIMBS] + _FOLD * whole[_LIMBS:])


@lru_cache(maxsize=32)
def _weights(places: tuple[int, ...], at: tuple[int, ...]) -> NDArray[np.float64]:
    """Lagrange's weight of each place at each of `at`, by limb: (_LIMBS, len(at), len(places))."""
    found: list[int] = []
    scales = [pow(_product(x, places), -1, PRIME) for x in places]
    for target in at:
        everything = _product(target, places)
        found += [
            everything * pow(target - x, -1, PRIME) * scale % PRIME
            for x, scale in zip(places, scales, strict=True)
        ]
    content = b"".join(weight.to_bytes(_BYTES, "big") for weight in found)
    return np.ascontiguousarray(
        _limbs(content, (len(at), len(places))).transpose(1, 0, 2), dtype=np.float64
    )


def _product(x: int, places: tuple[int, ...]) -> int:
    product = 1
    for other in places:
        if other != x:
            product = product * (x - other) % PRIME
    return product


def _limbs(content: bytes, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Numbers of 32 bytes in limbs of 16 bits, lowest first: shape (rows, _LIMBS, columns)."""
    words = np.frombuffer(content, dtype=">u2").reshape(*shape, _LIMBS)[:, :, ::-1]
    return words.transpose(0, 2, 1).astype(np.int64)


def _carry(numbers: NDArray[np.int64]) -> None:
    """Carry and fold 2²⁵⁶ into 189, in place: the same numbers modulo the prime."""
    carry = np.zeros(numbers.shape[1:], dtype=np.int64)
    for place in range(_LIMBS):
        numbers[place] += carry
        np.right_shift(numbers[place], 16, out=carry)
        numbers[place] &= 0xFFFF
    for place in range(3):  # what is carried out has 48 bits at most
        numbers[place] += (carry >> (16 * place) & 0xFFFF) * _FOLD


def _in_bytes(numbers: NDArray[np.int64]) -> list[bytes]:
    for _ in range(3):  # the third finds nothing to carry out any more
        _carry(numbers)
    # Between the prime and 2²⁵⁶ all limbs but the lowest are full.
    above = (numbers[0] >= 0x10000 - _FOLD) & (numbers[1:] == 0xFFFF).all(axis=0)
    numbers -= above * _limbs(PRIME.to_bytes(_BYTES, "big"), (1, 1))[0][:, :, None]
    words = numbers[::-1].transpose(1, 2, 0).astype(">u2")
    return [bytes(row.tobytes()) for row in words]
