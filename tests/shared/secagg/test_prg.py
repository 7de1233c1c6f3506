"""Masks: AES-256 in counter mode to the letter, uniform, and undone by the same seeds."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shared.errors import ConfigurationError
from shared.secagg.prg import add_masks, mask
from shared.secagg.ring import BITS, to_ring, word
from tests.significance import ALPHA

SEED = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
WORDS = 1_000_000


def test_the_stream_is_aes_256_in_counter_mode() -> None:
    """By the plain block cipher, block by block: AES(seed, counter); the seed of SP 800-38A."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    block = Cipher(AES(SEED), ECB()).encryptor()  # noqa: S305 - the oracle
    expected = b"".join(block.update(counter.to_bytes(16, "big")) for counter in range(5000))
    for kind in (np.uint16, np.uint32):
        count = len(expected) // np.dtype(kind).itemsize
        assert mask(SEED, count, kind).tobytes() == expected


def test_the_cipher_is_that_of_the_standard() -> None:
    """NIST SP 800-38A F.5.5: CTR-AES256.Encrypt, first block."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    counter = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    encryptor = Cipher(AES(SEED), CTR(counter)).encryptor()
    assert encryptor.update(plain).hex() == "601ec313775789a5b7a7f504bbf3d228"


@settings(max_examples=20)
@given(
    st.sampled_from(BITS),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    st.sampled_from([0, 1, 7, 32_768, 70_001]),
)
def test_what_was_added_can_be_taken_off(
    bits: int, added: list[bytes], subtracted: list[bytes], count: int
) -> None:
    """In any order, over the seams of chunks, in every ring."""
    words = to_ring(np.arange(count), bits)
    masked = words.copy()
    add_masks(masked, added, subtracted)
    expected = words.astype(np.uint64)
    for seed in added:
        expected += mask(seed, count, word(bits))
    for seed in subtracted:
        expected -= mask(seed, count, word(bits))
    assert np.array_equal(masked, expected.astype(word(bits)))
    add_masks(masked, subtracted[::-1], added[::-1])
    assert np.array_equal(masked, words)


def p_values(words: np.ndarray) -> tuple[float, float]:
    """χ² of the bytes, and of how often a byte follows another of the same upper half."""
    content = words.view(np.uint8)
    single = float(stats.chisquare(np.bincount(content, minlength=256)).pvalue)
    pairs = (content[:-1] >> 4).astype(int) * 16 + (content[1:] >> 4)
    serial = float(stats.chisquare(np.bincount(pairs[::2], minlength=256)).pvalue)
    return single, serial


def test_a_mask_looks_uniform() -> None:
    """χ² and serial test on 10⁶ words of a fresh seed; a counter and a slow drift are rejected."""
    words = mask(os.urandom(32), WORDS, np.uint32)
    assert min(p_values(words)) > ALPHA
    assert min(p_values(np.arange(WORDS, dtype=np.uint32))) < ALPHA
    assert min(p_values(words & np.uint32(0xFFFFFFF7))) < ALPHA


def test_two_seeds_have_nothing_in_common() -> None:
    """Equal words are as rare as between independent streams."""
    one, other = (mask(os.urandom(32), WORDS, np.uint16) for _ in range(2))
    agreeing = int((one == other).sum())
    assert stats.binomtest(agreeing, WORDS, 2.0**-16).pvalue > ALPHA
    assert stats.binomtest(int((one == one.copy()).sum()), WORDS, 2.0**-16).pvalue < ALPHA


def test_a_short_seed_is_refused() -> None:
    """256 bits or nothing."""
    with pytest.raises(ConfigurationError, match="32 bytes, got 28"):
        add_masks(np.zeros(4, dtype=np.uint32), [], [bytes(28)])
