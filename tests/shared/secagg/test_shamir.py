"""Enough shares give the secret back, fewer say nothing about it."""

import itertools
import os
import secrets
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shared.errors import ConfigurationError, ProtocolError
from shared.secagg.shamir import (
    PRIME,
    all_in_field,
    completed,
    in_field,
    interpolated,
    is_shares,
)
from tests.significance import ALPHA

SECRETS = st.integers(0, PRIME - 1).map(lambda value: value.to_bytes(32, "big"))


def split(values: Sequence[bytes], holders: int, threshold: int) -> list[bytes]:
    """Shares of every holder; the first ones drawn, the others completed."""
    given_ = [all_in_field(os.urandom(32 * len(values))) for _ in range(threshold - 1)]
    return [*given_, *completed(b"".join(values), given_, holders)]


def secret_of(places: Sequence[int], shares: Sequence[bytes]) -> bytes:
    """What the shares of these places give back."""
    return interpolated(tuple(places), (0,), [shares[x - 1] for x in places])[0]


def lagrange(at: int, points: dict[int, int]) -> int:
    """The oracle: in whole numbers, one value at a time."""
    total = 0
    for x, y in points.items():
        up = down = 1
        for other in points.keys() - {x}:
            up, down = up * (at - other) % PRIME, down * (x - other) % PRIME
        total += y * up * pow(down, -1, PRIME)
    return total % PRIME


@given(st.lists(SECRETS, min_size=1, max_size=3), st.integers(1, 12), st.data())
def test_any_threshold_of_shares_gives_the_secrets(
    secrets_: list[bytes], holders: int, data: st.DataObject
) -> None:
    """Whoever they are, in whatever order."""
    threshold = data.draw(st.integers(1, holders))
    places = data.draw(st.permutations(range(1, holders + 1)))[:threshold]
    assert secret_of(places, split(secrets_, holders, threshold)) == b"".join(secrets_)


@given(
    st.dictionaries(st.integers(0, 300), st.integers(0, PRIME - 1), min_size=1, max_size=9),
    st.integers(301, 400),
)
def test_values_elsewhere_are_those_of_the_polynomial(points: dict[int, int], at: int) -> None:
    """By other code, in whole numbers."""
    rows = [value.to_bytes(32, "big") for value in points.values()]
    found = interpolated(tuple(points), (at,), rows)
    assert [int.from_bytes(value, "big") for value in found] == [lagrange(at, points)]


@pytest.mark.no_cover
@pytest.mark.parametrize(("holders", "threshold"), [(300, 200), (128, 127), (127, 70)])
@pytest.mark.parametrize("count", [1, 511, 1025])
def test_many_holders_have_shares_of_the_field(holders: int, threshold: int, count: int) -> None:
    """No limb overflows where all numbers are the largest; more secrets than a block holds."""
    values = [(PRIME - 1).to_bytes(32, "big")] * count
    given_ = [values[0] * count] * (threshold - 1)
    shares = [*given_, *completed(b"".join(values), given_, holders)]
    assert all(is_shares(share, count) for share in shares)
    assert set(shares) == {values[0] * count}  # a constant polynomial
    mixed = split([bytes(32), *values[1:]], holders, threshold)
    places = range(holders, holders - threshold, -1)
    assert secret_of(places, mixed) == b"".join([bytes(32), *values[1:]])


def test_the_field_is_prime() -> None:
    """Miller and Rabin with 40 random bases; and it is the largest below 2²⁵⁶."""
    for base in (secrets.randbelow(PRIME - 3) + 2 for _ in range(40)):
        assert pow(base, PRIME - 1, PRIME) == 1
    assert PRIME == 2**256 - 189


def bytes_at(held: bytes, place: int) -> list[int]:
    """How often each value stands at a place of a share."""
    found = np.frombuffer(held, dtype=np.uint8).reshape(-1, 32)[:, place]
    return [int(count) for count in np.bincount(found, minlength=256)]


def test_one_share_too_few_gives_something_else_each_time() -> None:
    """The lowest byte of what two of three shares give is uniform, whatever the secret is."""
    secret = bytes(31) + b"\x05"
    for threshold, uniform in ((3, True), (2, False)):
        first, second, _ = split([secret] * 20_000, 3, threshold)
        found = interpolated((1, 2), (0,), [first, second])[0]
        assert bool(stats.chisquare(bytes_at(found, 31)).pvalue > ALPHA) is uniform


@pytest.mark.parametrize("place", [0, 7, 31])
def test_a_share_alone_is_uniform(place: int) -> None:
    """Of the same secret, split 20,000 times; a threshold of one is rejected."""
    for threshold, uniform in ((2, True), (1, False)):
        first, _ = split([b"\x11" * 32] * 20_000, 2, threshold)
        assert bool(stats.chisquare(bytes_at(first, place)).pvalue > ALPHA) is uniform


def test_shares_are_a_polynomial_by_hand() -> None:
    """Three shares of threshold two lie on a line modulo the prime."""
    one, two, three = (int.from_bytes(s, "big") for s in split([bytes(31) + b"\x09"], 3, 2))
    assert (two - one) % PRIME == (three - two) % PRIME
    assert (2 * one - two) % PRIME == 9


def test_a_seed_is_reduced_into_the_field() -> None:
    """Only the 189 largest change."""
    assert in_field(b"\xff" * 32) == (188).to_bytes(32, "big")
    assert in_field(b"\x01" * 32) == b"\x01" * 32


def test_all_seeds_are_reduced_into_the_field() -> None:
    """Those below it are as they were."""
    content = b"\xff" * 32 + b"\x01" * 32 + PRIME.to_bytes(32, "big")
    assert all_in_field(content) == (188).to_bytes(32, "big") + b"\x01" * 32 + bytes(32)
    assert all_in_field(b"\x01" * 64) == b"\x01" * 64


@pytest.mark.parametrize(
    ("content", "count", "expected"),
    [
        (b"", 0, True),
        (bytes(64), 2, True),
        ((PRIME - 1).to_bytes(32, "big"), 1, True),
        (PRIME.to_bytes(32, "big"), 1, False),
        (bytes(32) + b"\xff" * 32, 2, False),
        (b"\xff" * 8 + bytes(24), 1, True),
        (bytes(31), 1, False),
        (bytes(64), 1, False),
    ],
)
def test_a_share_is_a_number_of_the_field(content: bytes, count: int, expected: bool) -> None:
    """32 bytes below the prime, and as many as are asked for."""
    assert is_shares(content, count) is expected


@pytest.mark.parametrize(
    ("secret", "given_", "holders"),
    [
        (bytes(31), [bytes(32)], 3),
        (b"\xff" * 32, [bytes(32)], 3),
        (bytes(32), [b"\xff" * 32], 3),
        (bytes(32), [bytes(64)], 3),
        (bytes(32), [bytes(32)] * 3, 3),
    ],
)
def test_what_cannot_be_shared_is_refused(secret: bytes, given_: list[bytes], holders: int) -> None:
    """Another length, outside the field, a threshold that nobody meets."""
    with pytest.raises(ConfigurationError):
        completed(secret, given_, holders)


@pytest.mark.parametrize(
    ("places", "at", "rows"),
    [
        ((1, 1), (0,), [bytes(32)] * 2),
        ((0, 1), (0,), [bytes(32)] * 2),
        ((-1, 1), (0,), [bytes(32)] * 2),
        ((), (0,), []),
        ((1, 2), (0,), [bytes(32)]),
        ((1, 2), (0,), [bytes(32), bytes(64)]),
        ((1, 2), (0,), [bytes(31)] * 2),
    ],
)
def test_places_and_rows_that_do_not_fit_are_refused(
    places: tuple[int, ...], at: tuple[int, ...], rows: list[bytes]
) -> None:
    """A place twice would divide by zero; a row that is missing is not made up."""
    with pytest.raises(ProtocolError):
        interpolated(places, at, rows)


def test_nothing_is_put_together_from_nothing() -> None:
    """No secrets: as many empty rows as places."""
    assert interpolated((1, 2), (0, 3), [b"", b""]) == [b"", b""]


def test_every_pair_of_three_agrees() -> None:
    """The same secret, whichever two of three come."""
    shares = split([b"\x2a" * 32], 3, 2)
    for places in itertools.permutations((1, 2, 3), 2):
        assert secret_of(places, shares) == b"\x2a" * 32
