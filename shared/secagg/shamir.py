"""Secrets in shares: any `threshold` of them give it back, fewer say nothing about it.

Over the prime field of 2²⁵⁶ - 189, in which a seed of 32 bytes lies once it is reduced. Share x is
the polynomial's value at x = 1, 2, ..; the secret its value at 0. Shares are made for all secrets
and holders at once, in limbs of 16 bits; they are put together in Python's whole numbers.

Source: Shamir 1979.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError, ProtocolError

_FOLD = 189  # 2²⁵⁶ modulo the prime
PRIME = 2**256 - _FOLD
_BYTES = 32
_LIMBS = 16


def in_field(seed: bytes) -> bytes:
    """`seed` modulo the prime: what may be shared. Uniform but for 2⁻²⁴⁸."""
    return (int.from_bytes(seed, "big") % PRIME).to_bytes(_BYTES, "big")


def split(values: Sequence[bytes], holders: int, threshold: int) -> list[bytes]:
    """What each holder gets: its share of every value, 32 bytes each, one after the other.

    Args:
        values: Secrets of 32 bytes in the field; each has a polynomial of its own.
        holders: How many; the share of holder x, from 1, is the polynomial's value at x.
        threshold: Shares that give a secret back.

    Raises:
        ConfigurationError: a secret is not in the field, or not 1 <= threshold <= holders.
    """
    if not all(len(value) == _BYTES and int.from_bytes(value, "big") < PRIME for value in values):
        raise ConfigurationError("expected secrets of 32 bytes in the field")
    if not 1 <= threshold <= holders:
        raise ConfigurationError(
            f"expected a threshold from 1 to {holders} shares, got {threshold}"
        )
    # Secrecy: coefficients of the operating system, used once. They are reduced with the rest:
    # uniform in the field but for 2⁻²⁴⁸.
    drawn = os.urandom(_BYTES * (threshold - 1) * len(values))
    terms = _limbs(drawn + b"".join(values), (threshold, len(values)))
    places = np.arange(1, holders + 1, dtype=np.int64)[:, None]
    shares = np.zeros((_LIMBS, holders, len(values)), dtype=np.int64)
    # A limb is below 2²⁴ when it is reduced, and each step multiplies it by `holders` at most.
    between = (61 - 24) // holders.bit_length()
    for step, term in enumerate(terms, start=1):
        shares *= places
        shares += term[:, None, :]
        if step % between == 0:
            _carry(shares)
    return _in_bytes(shares)


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


def is_share(content: bytes) -> bool:
    """Whether `content` can be a share: 32 bytes below the prime."""
    return len(content) == _BYTES and int.from_bytes(content, "big") < PRIME


class Reconstruction:
    """Gives back secrets that the same holders hold; its coefficients are made once.

    Args:
        places: x of each holder whose shares are used, as many as the threshold.

    Raises:
        ProtocolError: a place twice, or one below 1.
    """

    def __init__(self, places: Sequence[int]) -> None:
        if len(set(places)) != len(places) or min(places, default=0) < 1:
            raise ProtocolError("expected shares of different holders")
        self._weights: Mapping[int, int] = {x: _weight(x, places) for x in places}

    def secret(self, shares: Mapping[int, bytes]) -> bytes:
        """The secret, 32 bytes, of the share of each place.

        Raises:
            ProtocolError: a share is missing, or none of the field.
        """
        total = 0
        for x, weight in self._weights.items():
            share = shares.get(x, b"")
            if not is_share(share):
                raise ProtocolError(f"expected a share of 32 bytes in the field of holder {x}")
            total += weight * int.from_bytes(share, "big")
        return (total % PRIME).to_bytes(_BYTES, "big")


def _weight(x: int, places: Sequence[int]) -> int:
    numerator = denominator = 1
    for other in places:
        if other != x:
            numerator = numerator * other % PRIME
            denominator = denominator * (other - x) % PRIME
    return numerator * pow(denominator, -1, PRIME) % PRIME
