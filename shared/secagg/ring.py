"""Whole numbers modulo 2^b: sums of masked updates wrap, and nothing is ever rounded.

A vector of b = 16 lies in 16-bit words, any other in 32-bit words whose upper bits are cut when it
is packed or read: 2^b divides 2^32, so that sums may wrap there meanwhile.
"""

import numpy as np
from numpy.typing import NDArray

from shared.errors import ConfigurationError, MessageError

BITS = (16, 20, 24, 32)
Words = NDArray[np.unsignedinteger]
Integers = NDArray[np.int64]


def word(bits: int) -> type[np.unsignedinteger]:
    """The word that holds one number. Raises ConfigurationError unless `bits` is one of BITS."""
    if bits not in BITS:
        raise ConfigurationError(f"expected a ring of {BITS} bits, got {bits!r}")
    return np.uint16 if bits == 16 else np.uint32


def to_ring(values: Integers, bits: int) -> Words:
    """`values` modulo 2^b, shape (d,)."""
    return (values & ((1 << bits) - 1)).astype(word(bits))


def from_ring(words: Words, bits: int) -> Integers:
    """The number in [-2^(b-1), 2^(b-1)) of each word: the inverse of `to_ring` there."""
    half = 1 << (bits - 1)
    reduced = words.astype(np.int64) & ((1 << bits) - 1)
    return (reduced + half & ((1 << bits) - 1)) - half


def pack(words: Words, bits: int) -> bytes:
    """b bits a number, little end first; two numbers of 20 bits share five bytes."""
    if words.dtype != word(bits) or words.ndim != 1:
        raise MessageError(f"expected a flat vector of {word(bits).__name__}, got {words.dtype}")
    if bits in (16, 32):
        return words.astype(f"<u{bits // 8}", copy=False).tobytes()
    if bits == 24:
        four = words.astype("<u4", copy=False).view(np.uint8).reshape(-1, 4)
        return bytes(four[:, :3].tobytes())
    even = np.zeros(len(words) + len(words) % 2, dtype="<u8")
    even[: len(words)] = words & np.uint32((1 << bits) - 1)
    pairs = (even[0::2] | even[1::2] << np.uint64(bits)).astype("<u8", copy=False)
    return bytes(pairs.view(np.uint8).reshape(-1, 8)[:, :5].tobytes())


def packed_bytes(dimension: int, bits: int) -> int:
    """Length of `pack` of a vector of `dimension` numbers."""
    return 5 * -(-dimension // 2) if bits == 20 else dimension * bits // 8


def unpack(content: bytes, dimension: int, bits: int) -> Words:
    """Inverse of `pack`.

    Raises:
        MessageError: another length, or bits set where no number lies.
    """
    if len(content) != packed_bytes(dimension, bits):
        raise MessageError(
            f"expected {packed_bytes(dimension, bits)} bytes of {dimension} numbers, got "
            f"{len(content)}"
        )
    if bits in (16, 32):
        return np.frombuffer(content, dtype=f"<u{bits // 8}").astype(word(bits))
    size = 3 if bits == 24 else 5
    groups = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    wide = np.zeros((len(groups), 8), dtype=np.uint8)
    wide[:, :size] = groups
    numbers = wide.view("<u8")[:, 0]
    if bits == 20:
        both = np.stack([numbers & np.uint64(0xFFFFF), numbers >> np.uint64(20)], axis=1).ravel()
        if both[dimension:].any():
            raise MessageError("expected no number beyond the last, got one")
        numbers = both[:dimension]
    return numbers.astype(np.uint32)
