"""No two inputs have one encoding, and no key serves two ends."""

import hashlib

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.transcript import Part, canonical, derive, digest

PARTS = st.recursive(
    st.text(max_size=3) | st.integers(-9, 9) | st.binary(max_size=3),
    lambda part: st.lists(part, max_size=3),
    max_leaves=6,
)


@given(st.lists(PARTS, max_size=4), st.lists(PARTS, max_size=4))
def test_the_encoding_is_one_to_one(one: list[Part], other: list[Part]) -> None:
    """Whatever is nested in whatever; what differs differs in its encoding."""
    assert (canonical(*one) == canonical(*other)) == (one == other)


def test_the_encoding_and_the_digest_are_known() -> None:
    """Type, length in eight bytes, content."""
    assert canonical("ab", 7, b"\x01").hex() == (
        "73" + "0200000000000000" + "6162" + "69" + "0100000000000000" + "37"
        "62" + "0100000000000000" + "01"
    )
    content = canonical("murmura/secagg/v1/header", "x")
    assert digest("header", "x") == hashlib.sha256(content).digest()


def test_hkdf_is_that_of_the_standard() -> None:
    """RFC 5869, test case 3: no salt, no information."""
    made = HKDF(algorithm=SHA256(), length=42, salt=None, info=b"").derive(b"\x0b" * 22)
    assert made.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_every_input_moves_the_key() -> None:
    """Secret, purpose, each part, and where one part ends."""
    inputs: list[tuple[bytes, str, tuple[Part, ...]]] = [
        (b"s" * 32, "pair", ("a", "b")),
        (b"t" * 32, "pair", ("a", "b")),
        (b"s" * 32, "share", ("a", "b")),
        (b"s" * 32, "pair", ("b", "a")),
        (b"s" * 32, "pair", ("ab",)),
        (b"s" * 32, "pair", ("ab", "")),
        (b"s" * 32, "pair", (b"a", "b")),
    ]
    keys = {derive(secret, purpose, *parts) for secret, purpose, parts in inputs}
    assert len(keys) == len(inputs)
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("part", [True, 1.0, None])
def test_what_has_no_one_encoding_is_refused(part: object) -> None:
    """A truth value equals a number, a fraction has many texts."""
    with pytest.raises(TypeError):
        canonical(part)  # type: ignore[arg-type]
