"""Inversion counts thresholds exactly, whatever the bits; one that loses some of them is found."""

from bisect import bisect_left, bisect_right
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.dp import integer_noise
from shared.dp.integer_noise import WIDEST_SKELLAM, _skellam_table
from shared.dp.inversion import PRECISION, InversionTable
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError
from tests.shared.dp.test_integer_noise import fresh, p_value, places_of, skellam_pmf
from tests.significance import ALPHA

KEY = b"k" * 32
WIDE = 3000**2  # a quarter of all cells of the guide holds a threshold or more
MANY = 8_000_000  # hundreds for each number near the middle


class Scripted(RandomStream):
    """A stream that says what it was told."""

    __slots__ = ("_left",)

    def __init__(self, content: bytes) -> None:
        super().__init__(b"x" * 32)
        self._left = content

    def take(self, count: int) -> bytearray:
        """The next of it."""
        found, self._left = self._left[:count], self._left[count:]
        assert len(found) == count
        return bytearray(found)


class Silent(RandomStream):
    """A stream of zeros."""

    def take(self, count: int) -> bytearray:
        """None but zeros."""
        return bytearray(count)


class Stuttering(RandomStream):
    """A stream that says the same number of 16 bits again and again."""

    def take(self, count: int) -> bytearray:
        """Its first two bytes, repeated."""
        return super().take(2) * (count // 2)


def thresholds(weights: list[int]) -> list[int]:
    """By the definition, in whole numbers."""
    both = [*reversed(weights[1:]), *weights]
    total = sum(both)
    return [(reached << PRECISION) // total for reached in accumulate(both[:-1])]


def begins(exact: list[int], number: int, bits: int) -> bool:
    """Whether some threshold's first `bits` bits are `number`."""
    rest = PRECISION - bits
    return bisect_left(exact, number << rest) != bisect_left(exact, (number + 1) << rest)


def slowly(exact: list[int], count: int, stream: RandomStream) -> list[int]:
    """16 bits for each; 48 more for those that some threshold begins with, then 128; counted."""
    numbers = [int.from_bytes(stream.take(2), "little") for _ in range(count)]
    for bits, more in ((16, 48), (64, 128)):
        for place, number in enumerate(numbers):
            needed = begins(exact, number, bits)
            last = int.from_bytes(stream.take(more // 8), "little") if needed else 0
            numbers[place] = number << more | last
    return [bisect_right(exact, number) - len(exact) // 2 for number in numbers]


class LowBitsDropped(InversionTable):
    """Of what 16 bits do not decide, all other bits are zero."""

    def _refined(self, top: NDArray[np.uint16], stream: RandomStream) -> NDArray[np.int32]:
        del stream
        return super()._refined(top, Silent(KEY))


class BitsUsedTwice(InversionTable):
    """What 16 bits do not decide, the same 16 bits more decide."""

    def _refined(self, top: NDArray[np.uint16], stream: RandomStream) -> NDArray[np.int32]:
        return super()._refined(top, Stuttering(bytes(stream.take(32))))


class OneThresholdACell(InversionTable):
    """It never looks beyond the first threshold of a cell."""

    def _searched(self, uniform: NDArray[np.uint64], stream: RandomStream) -> NDArray[np.intp]:
        del stream
        below = self._below.take(uniform >> np.uint64(48))
        return (below + (self._words.take(below) <= uniform)).astype(np.intp)


BUGS = (LowBitsDropped, BitsUsedTwice, OneThresholdACell)


def weights_of(deviation: int) -> list[int]:
    """A wide bell in whole numbers, whose outer thresholds share their first 64 bits."""
    places = np.arange(12 * deviation)
    bell: list[float] = np.exp(-(places**2) / (2.0 * deviation**2)).tolist()
    return [1 + int(2.0**100 * weight) for weight in bell]


@given(
    st.lists(st.integers(0, 300).map(lambda bits: 1 << bits), min_size=2, max_size=40),
    st.data(),
)
def test_a_sample_is_the_number_of_thresholds_at_or_below(
    weights: list[int], data: st.DataObject
) -> None:
    """At a threshold, next to it, and a little or far from it, for tables of every shape."""
    exact = thresholds(weights)
    distances = st.sampled_from([0, 1, -1, 1 << 100, 1 << 128, -(1 << 130), 1 << 176, -(1 << 177)])
    number = data.draw(st.sampled_from(exact)) + data.draw(distances)
    number = min(max(number, 0), (1 << PRECISION) - 1)
    top, middle, last = number >> 176, (number >> 128) % (1 << 48), number % (1 << 128)
    script = top.to_bytes(2, "little") + middle.to_bytes(6, "little") + last.to_bytes(16, "little")
    found = InversionTable(weights).sample(1, Scripted(script))
    assert found.tolist() == [bisect_right(exact, number) - len(weights) + 1]


@pytest.mark.parametrize("deviation", [1, 30, 3000])
def test_on_the_same_bits_it_is_the_slow_one_in_whole_numbers(deviation: int) -> None:
    """Narrow and wide: sample by sample, and no bit more or fewer is drawn."""
    weights = weights_of(deviation)
    fast, slow = RandomStream(KEY), RandomStream(KEY)
    found = InversionTable(weights).sample(30_000, fast)
    assert found.tolist() == slowly(thresholds(weights), 30_000, slow)
    assert fast.take(8) == slow.take(8)


@pytest.mark.parametrize("wrong", BUGS)
def test_a_sampler_that_loses_bits_is_not_the_slow_one(wrong: type[InversionTable]) -> None:
    """The comparison above would reject it."""
    weights = weights_of(3000)
    found = wrong(weights).sample(30_000, RandomStream(KEY))
    assert found.tolist() != slowly(thresholds(weights), 30_000, RandomStream(KEY))


@pytest.mark.parametrize("variance", [WIDE, WIDEST_SKELLAM])
def test_the_widest_are_right_in_every_number(variance: int) -> None:
    """By a test of goodness of fit of tens of thousands of them."""
    found = _skellam_table(variance).sample(MANY, fresh())
    places = places_of(variance)
    assert p_value(found, skellam_pmf(variance, places), places) > ALPHA


@pytest.mark.parametrize("wrong", BUGS)
def test_a_wide_sampler_that_loses_bits_is_found_out(
    wrong: type[InversionTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise."""
    monkeypatch.setattr(integer_noise, "InversionTable", wrong)
    table, places = _skellam_table.__wrapped__(WIDE), places_of(WIDE)
    assert p_value(table.sample(MANY, fresh()), skellam_pmf(WIDE, places), places) < ALPHA


@pytest.mark.parametrize(("last", "expected"), [(0, -1), (1, 0), (2**128 - 1, 0)])
def test_where_64_bits_do_not_decide_the_next_do(last: int, expected: int) -> None:
    """P = 1/3 each: the first threshold is 0.0101…; its bits, then more or fewer."""
    exact = (1 << PRECISION) // 3
    words = exact >> 128
    following = exact & ((1 << 128) - 1)
    tail = {0: following - 1, 1: following, 2**128 - 1: last}[last]
    top, rest = words >> 48, words & ((1 << 48) - 1)
    stream = Scripted(
        top.to_bytes(2, "little") + rest.to_bytes(6, "little") + tail.to_bytes(16, "little")
    )
    assert InversionTable((1, 1)).sample(1, stream).tolist() == [expected]


def test_a_step_multiplies_and_what_is_there_stays() -> None:
    """Over several chunks, and beyond 32 bits."""
    table, step = InversionTable((3, 2, 1)), 1 << 40
    total = np.arange(150_000)
    table.add_to(total, step, RandomStream(KEY))
    alone = table.sample(len(total), RandomStream(KEY))
    assert (total == np.arange(150_000) + step * alone).all()
    assert set(alone) == {-2, -1, 0, 1, 2}


def test_a_table_of_nothing_is_refused() -> None:
    """One weight is a constant, none is no distribution."""
    assert not InversionTable((5,)).sample(1000, fresh()).any()
    with pytest.raises(ConfigurationError, match="weights"):
        InversionTable(())
