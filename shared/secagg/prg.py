"""Masks from seeds: AES-256 in counter mode, added to a vector in place, chunk by chunk.

Source: NIST SP 800-38A. A seed makes one stream only, so the counter starts at zero.
"""

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from shared.errors import ConfigurationError
from shared.secagg.ring import Words
from shared.secagg.transcript import KEY_BYTES

_BLOCK = 16
_CHUNK_BYTES = 1 << 17  # stays in the cache while every mask passes over it


def add_masks(words: Words, added: Sequence[bytes], subtracted: Sequence[bytes] = ()) -> None:
    """words += Σ mask(seed in added) - Σ mask(seed in subtracted), in place, modulo its word.

    Args:
        words: Shape (d,), of one of the ring's words.
        added: Seeds of 32 bytes, each for this vector alone.
        subtracted: Likewise.

    Raises:
        ConfigurationError: a seed of another length.
    """
    for seed in (*added, *subtracted):
        if len(seed) != KEY_BYTES:
            raise ConfigurationError(f"expected a seed of {KEY_BYTES} bytes, got {len(seed)}")
    plus = [_keystream(seed) for seed in added]
    minus = [_keystream(seed) for seed in subtracted]
    size = words.itemsize
    zeros = bytes(_CHUNK_BYTES)
    buffer = bytearray(_CHUNK_BYTES + _BLOCK - 1)
    stream: NDArray[np.unsignedinteger] = np.frombuffer(
        buffer, dtype=f"<u{size}", count=_CHUNK_BYTES // size
    )
    for start in range(0, len(words), _CHUNK_BYTES // size):
        part = words[start : start + _CHUNK_BYTES // size]
        view = memoryview(zeros)[: len(part) * size]
        for keystream in plus:
            keystream.update_into(view, buffer)
            part += stream[: len(part)]
        for keystream in minus:
            keystream.update_into(view, buffer)
            part -= stream[: len(part)]


def stream(seed: bytes, length: int) -> bytes:
    """The first bytes of a seed's keystream."""
    return _keystream(seed).update(bytes(length))


def mask(seed: bytes, dimension: int, word: type[np.unsignedinteger]) -> Words:
    """The mask of one seed alone, shape (dimension,)."""
    words: Words = np.zeros(dimension, dtype=word)
    add_masks(words, [seed])
    return words


def _keystream(seed: bytes) -> CipherContext:
    # Secrecy: one seed, one stream; so a counter from zero never meets the same key twice.
    return Cipher(AES(seed), CTR(bytes(_BLOCK))).encryptor()
