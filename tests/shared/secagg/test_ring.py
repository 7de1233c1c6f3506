"""Whole numbers modulo 2^b come back as they were, in no more bytes than they need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, MessageError
from shared.secagg.ring import BITS, from_ring, pack, packed_bytes, to_ring, unpack, word


@given(st.sampled_from(BITS), st.lists(st.integers(-(2**40), 2**40), max_size=9))
def test_a_number_comes_back_modulo_the_ring(bits: int, numbers: list[int]) -> None:
    """As the one of its class in [-2^(b-1), 2^(b-1))."""
    values = np.array(numbers, dtype=np.int64)
    half = 2 ** (bits - 1)
    expected = [(number + half) % (2 * half) - half for number in numbers]
    assert from_ring(to_ring(values, bits), bits).tolist() == expected


@given(st.sampled_from(BITS), st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_packing_loses_nothing(bits: int, numbers: list[int]) -> None:
    """Any length, odd ones too; b bits a number, rounded up to whole bytes."""
    words = to_ring(np.array(numbers, dtype=np.int64), bits)
    packed = pack(words, bits)
    assert len(packed) == packed_bytes(len(words), bits) <= (len(words) * bits + 27) // 8
    assert unpack(packed, len(words), bits).tolist() == words.tolist()
    assert unpack(packed, len(words), bits).dtype == word(bits)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(16, "0100ff7f"), (20, "0100f0ff07"), (24, "010000ff7f00"), (32, "01000000ff7f0000")],
)
def test_packed_bytes_are_known(bits: int, expected: str) -> None:
    """1 and 0x7fff, little end first; of 20 bits the second begins in the middle of a byte."""
    assert pack(to_ring(np.array([1, 0x7FFF]), bits), bits).hex() == expected


@pytest.mark.parametrize("bits", BITS)
def test_another_length_is_refused(bits: int) -> None:
    """One byte more or less is no vector of the length that was said."""
    packed = pack(to_ring(np.arange(3), bits), bits)
    for content in (packed + b"\0", packed[:-1]):
        with pytest.raises(MessageError, match="bytes"):
            unpack(content, 3, bits)


def test_a_number_behind_the_last_is_refused() -> None:
    """Where an odd vector of 20 bits ends, half a group is left; nothing may hide there."""
    with pytest.raises(MessageError, match="beyond"):
        unpack(b"\0\0\0\0\1", 1, 20)


def test_words_of_another_ring_are_refused() -> None:
    """A vector of 16-bit words is none of 20 bits; a ring of 17 bits does not exist."""
    with pytest.raises(MessageError, match="uint32"):
        pack(np.zeros(2, dtype=np.uint16), 20)
    with pytest.raises(ConfigurationError, match="17"):
        word(17)
