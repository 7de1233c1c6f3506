"""Enough shares give the secret back, fewer say nothing about it."""

import itertools
import secrets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shared.errors import ConfigurationError, ProtocolError
from shared.secagg.shamir import PRIME, Reconstruction, in_field, split
from tests.significance import ALPHA

SECRETS = st.integers(0, PRIME - 1).map(lambda value: value.to_bytes(32, "big"))


@given(st.lists(SECRETS, min_size=1, max_size=3), st.integers(1, 12), st.data())
def test_any_threshold_of_shares_gives_the_secrets(
    secrets_: list[bytes], holders: int, data: st.DataObject
) -> None:
    """Whoever they are, in whatever order; put together by other code, in whole numbers."""
    threshold = data.draw(st.integers(1, holders))
    places = data.draw(st.permutations(range(1, holders + 1)))[:threshold]
    shares = split(secrets_, holders, threshold)
    for number, secret in enumerate(secrets_):
        held = {x: shares[x - 1][32 * number : 32 * (number + 1)] for x in places}
        assert Reconstruction(places).secret(held) == secret


@pytest.mark.parametrize(("holders", "threshold"), [(300, 200), (128, 127), (127, 70)])
def test_many_holders_have_shares_of_the_field(holders: int, threshold: int) -> None:
    """No limb overflows where there are as many as a round ever has."""
    values = [(PRIME - 1).to_bytes(32, "big"), bytes(32)]
    shares = split(values, holders, threshold)
    places = range(holders, holders - threshold, -1)
    for number, value in enumerate(values):
        held = {x: shares[x - 1][32 * number : 32 * (number + 1)] for x in places}
        assert Reconstruction(tuple(places)).secret(held) == value


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_shares_are_the_polynomials_values(monkeypatch: pytest.MonkeyPatch, byte: int) -> None:
    """With coefficients of all zeros, and of all ones, which lie above the prime."""
    monkeypatch.setattr("shared.secagg.shamir.os.urandom", lambda count: bytes([byte]) * count)
    coefficient = int.from_bytes(bytes([byte]) * 32, "big")
    for secret in (0, 7, PRIME - 1, PRIME - coefficient % PRIME):
        value = secret % PRIME
        found = split([value.to_bytes(32, "big")], 9, 4)
        expected = [(value + coefficient * (x + x**2 + x**3)) % PRIME for x in range(1, 10)]
        assert [int.from_bytes(share, "big") for share in found] == expected


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
    rebuilt = Reconstruction((1, 2))
    for threshold, uniform in ((3, True), (2, False)):
        first, second, _ = split([secret] * 20_000, 3, threshold)
        found = b"".join(
            rebuilt.secret({1: first[at : at + 32], 2: second[at : at + 32]})
            for at in range(0, len(first), 32)
        )
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


@pytest.mark.parametrize(
    ("secret", "holders", "threshold"),
    [(bytes(31), 3, 2), (b"\xff" * 32, 3, 2), (bytes(32), 3, 0), (bytes(32), 3, 4)],
)
def test_what_cannot_be_shared_is_refused(secret: bytes, holders: int, threshold: int) -> None:
    """Another length, outside the field, a threshold that nobody or everybody meets."""
    with pytest.raises(ConfigurationError):
        split([secret], holders, threshold)


@pytest.mark.parametrize("places", [(1, 1), (0, 1), ()])
def test_places_that_are_no_holders_are_refused(places: tuple[int, ...]) -> None:
    """One twice would divide by zero; the place 0 is the secret itself."""
    with pytest.raises(ProtocolError):
        Reconstruction(places)


@pytest.mark.parametrize("share", [b"", bytes(31), b"\xff" * 32, None])
def test_a_share_that_is_none_is_refused(share: bytes | None) -> None:
    """Missing, of another length, or outside the field."""
    shares = {1: split([bytes(32)], 2, 2)[0]} | ({} if share is None else {2: share})
    with pytest.raises(ProtocolError, match="holder 2"):
        Reconstruction((1, 2)).secret(shares)


def test_every_pair_of_three_agrees() -> None:
    """The same secret, whichever two of three come."""
    shares = split([b"\x2a" * 32], 3, 2)
    for places in itertools.permutations((1, 2, 3), 2):
        held = {x: shares[x - 1] for x in places}
        assert Reconstruction(places).secret(held) == b"\x2a" * 32
