"""Secrets in shares: any `threshold` of them give it back, fewer say nothing about it.

Over the prime field of 2²⁵⁶ - 189, in which a seed of 32 bytes lies once it is reduced. Share x is
the polynomial's value at x = 1, 2, ..; the secret its value at 0.

Source: Shamir 1979.
"""

import secrets
from collections.abc import Mapping, Sequence

from shared.errors import ConfigurationError, ProtocolError

PRIME = 2**256 - 189
_BYTES = 32


def in_field(seed: bytes) -> bytes:
    """`seed` modulo the prime: what may be shared. Uniform but for 2⁻²⁴⁸."""
    return (int.from_bytes(seed, "big") % PRIME).to_bytes(_BYTES, "big")


def split(secret: bytes, holders: int, threshold: int) -> list[bytes]:
    """Shares 1..holders of `secret`, 32 bytes each.

    Raises:
        ConfigurationError: the secret is not in the field, or not 1 <= threshold <= holders.
    """
    value = int.from_bytes(secret, "big")
    if len(secret) != _BYTES or value >= PRIME:
        raise ConfigurationError("expected a secret of 32 bytes in the field")
    if not 1 <= threshold <= holders:
        raise ConfigurationError(
            f"expected a threshold from 1 to {holders} shares, got {threshold}"
        )
    # Secrecy: coefficients of the operating system, uniform in the field, used once.
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    shares = []
    for x in range(1, holders + 1):
        y = 0
        for coefficient in coefficients:
            y = y * x + coefficient
        shares.append(((y * x + value) % PRIME).to_bytes(_BYTES, "big"))
    return shares


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
            if len(share) != _BYTES or int.from_bytes(share, "big") >= PRIME:
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
