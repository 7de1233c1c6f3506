"""A map of digests that holds what a dictionary would hold, in a fifth of its memory."""

import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.packed_digests import DIGEST_BYTES, PackedDigests, check_hexadecimal
from shared.errors import StateError


def digest(of: int) -> bytes:
    """One of many."""
    return hashlib.sha256(str(of).encode()).digest()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))))
def test_it_holds_what_a_dictionary_holds(puts: list[tuple[int, int]]) -> None:
    """Puts, replacements and lookups of what is there and of what is not."""
    ours, theirs = PackedDigests(DIGEST_BYTES), {}
    for key, value in puts:
        ours.put(digest(key), digest(value))
        theirs[digest(key)] = digest(value)
    for key in range(41):
        assert ours.get(digest(key)) == theirs.get(digest(key))
        assert (digest(key) in ours) == (digest(key) in theirs)


def test_a_value_is_not_taken_for_a_key() -> None:
    """Nor what lies across a value and the next key: a server chooses values."""
    ours = PackedDigests(DIGEST_BYTES)
    first = bytes([7]) * DIGEST_BYTES
    inside = bytes([7]) + digest(1)[1:]
    ours.put(first, inside)
    assert inside not in ours
    assert ours.get(first[1:] + inside[:1]) == inside  # all sevens: lies at the first place, too
    ours.put(inside, first)
    assert (ours.get(first), ours.get(inside)) == (inside, first)


def test_without_values_it_is_a_set() -> None:
    """Of contexts that were unmasked."""
    ours = PackedDigests()
    ours.put(digest(1))
    ours.put(digest(1))
    assert digest(1) in ours
    assert digest(2) not in ours
    assert ours.get(digest(1)) == b""


@pytest.mark.parametrize(("key", "value"), [(31, 32), (33, 32), (32, 31), (31, 33), (0, 64)])
def test_another_length_is_refused(key: int, value: int) -> None:
    """It would shift all that follow."""
    ours = PackedDigests(DIGEST_BYTES)
    with pytest.raises(ValueError, match="expected 32 and 32 bytes"):
        ours.put(bytes(key), bytes(value))


def test_an_entry_takes_a_little_more_than_its_bytes() -> None:
    """64 and what a growing byte string keeps in reserve, an eighth."""
    tracemalloc.start()
    try:
        ours = PackedDigests(DIGEST_BYTES)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            ours.put(digest(number), digest(-number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 20_000 * 64 <= taken < 20_000 * 64 * 1.25 + 256 * 200


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "AB" * 32, " " + "ab" * 32, "xy" * 32])
def test_what_is_no_digest_is_refused(text: str) -> None:
    """By its length, never by its content; what a SHA-256 prints as is one."""
    check_hexadecimal(hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(StateError, match=f"64 hexadecimal digits, got {len(text)} characters"):
        check_hexadecimal(text)
