"""A compressed vector is read as it was made; rounding pulls nowhere; nothing else is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.compression import (
    count_of,
    largest_few,
    pack,
    quantised,
    snapped,
    unpack,
)
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.dp.update_plan import QUANTISED, TOP_K
from shared.errors import MessageError
from shared.vectors import FlatVector
from tests.significance import has_rate

VECTORS = st.lists(st.floats(-(2.0**99), 2.0**99, width=32), max_size=40).map(
    lambda values: np.array(values, dtype=np.float32)
)


def stream(number: int = 1) -> RandomStream:
    """Of one vector."""
    return SeededRandomness(7).stream("compression", number)


@given(VECTORS, st.integers(0, 99))
def test_a_quantised_vector_is_read_as_it_was_made(vector: FlatVector, number: int) -> None:
    """Bit for bit, in a byte a number, each within a level."""
    made = quantised(vector, stream(number))
    content = pack(made, QUANTISED)
    assert len(content) == 4 + len(vector)
    assert unpack(content, QUANTISED, len(vector), 1.0).tobytes() == made.tobytes()
    level = np.abs(vector).max(initial=0.0) / 127
    assert (np.abs(made.astype(np.float64) - vector) <= level * (1 + 1e-5) + 1e-30).all()


@given(VECTORS, st.floats(0.01, 0.5))
def test_the_largest_few_are_read_as_they_were_made(vector: FlatVector, share: float) -> None:
    """Bit for bit; nothing that is left out is larger than what is sent."""
    made = largest_few(vector, share)
    content, count = pack(made, TOP_K), count_of(len(vector), share)
    assert len(content) <= -(-len(vector) // 8) + 4 * count
    found = unpack(content, TOP_K, len(vector), share)
    assert np.array_equal(found, made)
    sent, left = made != 0.0, (made == 0.0) & (vector != 0.0)
    assert sent.sum() <= count
    assert (made[sent] == vector[sent]).all()
    if left.any():
        assert sent.sum() == count
        assert np.abs(vector[left]).max() <= np.abs(made[sent]).min()


@given(VECTORS, st.floats(0.01, 1.0), st.sampled_from([QUANTISED, TOP_K]))
def test_a_part_of_a_compressed_vector_can_be_sent(
    vector: FlatVector, factor: float, kind: str
) -> None:
    """As after a clip: near it, and from then on the same bits."""
    made = quantised(vector, stream()) if kind == QUANTISED else largest_few(vector, 0.5)
    part = (made * np.float32(factor)).astype(np.float32)
    sent = snapped(part, kind)
    assert np.allclose(sent, part, rtol=1e-5, atol=1e-30)
    assert snapped(sent, kind).tobytes() == sent.tobytes()


def ups(values: FlatVector) -> int:
    """How many numbers lie above a quarter, which is between two levels."""
    return int((values > 31.75 / 127).sum())


def test_rounding_pulls_nowhere() -> None:
    """A number rounds up as often as it lies towards the upper level; a fixed rule is seen."""
    trials = 20_000
    vector = np.full(trials + 1, 31.75 / 127, dtype=np.float32)
    vector[0] = 1.0
    assert has_rate(ups(quantised(vector, stream())[1:]), trials, 0.75)
    nearest = np.rint(vector.astype(np.float64) * 127) / 127
    assert not has_rate(ups(nearest[1:].astype(np.float32)), trials, 0.75)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", QUANTISED),
        (bytes(14), QUANTISED),
        (np.float32(np.inf).tobytes() + bytes(9), QUANTISED),
        (np.float32(-1.0).tobytes() + bytes(9), QUANTISED),
        (np.float32(1.0).tobytes() + b"\x80" + bytes(8), QUANTISED),
        (b"", TOP_K),
        (bytes([0b10000000, 0]), TOP_K),
        (bytes([0b11100000, 0]) + bytes(12), TOP_K),
        (bytes([0, 0b01000000]) + bytes(4), TOP_K),
        (bytes([0b10000000, 0]) + bytes(5), TOP_K),
    ],
)
def test_what_is_of_another_form_is_refused(content: bytes, kind: str) -> None:
    """Nine numbers, two of which may be sent."""
    with pytest.raises(MessageError):
        unpack(content, kind, 9, 0.2)


def test_vectors_of_nothing_stay_so() -> None:
    """Of length 0, of zeros, and of numbers too small for levels."""
    for vector in (np.zeros(0), np.zeros(3), np.full(3, 1e-40)):
        assert not quantised(vector.astype(np.float32), stream()).any()
