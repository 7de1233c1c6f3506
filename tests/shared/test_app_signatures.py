"""What a server's app key signs, and that nothing else passes for it."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.app_signatures import bundle_content, fingerprint, is_signed, signed_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw().hex()
CONTENT = bundle_content(b"an app")
SIGNED = KEY.sign(signed_bytes(CONTENT)).hex()


def test_a_bundle_is_signed_by_its_hash() -> None:
    """And by the format, so that a roster's signature is none of a bundle."""
    assert CONTENT["sha256"] == hashlib.sha256(b"an app").hexdigest()
    assert is_signed(CONTENT, SIGNED, PUBLIC)
    assert not is_signed(bundle_content(b"another app"), SIGNED, PUBLIC)
    assert not is_signed(CONTENT | {"format": "murmura-roster-1"}, SIGNED, PUBLIC)


def test_another_key_or_a_text_that_is_no_signature_is_refused() -> None:
    """Without an exception: whoever asks wants to know yes or no."""
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    assert not is_signed(CONTENT, SIGNED, other)
    for signature, key in (
        ("", PUBLIC),
        ("zz", PUBLIC),
        (SIGNED, ""),
        (SIGNED, "00"),
        ("00", key_of(1)),
    ):
        assert not is_signed(CONTENT, signature, key)


def key_of(seed: int) -> str:
    """Another public key."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return private.public_key().public_bytes_raw().hex()


def test_a_content_has_one_spelling_and_one_fingerprint() -> None:
    """Whatever the order of its fields."""
    turned = dict(reversed(CONTENT.items()))
    assert signed_bytes(turned) == signed_bytes(CONTENT)
    assert (
        fingerprint(turned)
        == fingerprint(CONTENT)
        == hashlib.sha256(signed_bytes(CONTENT)).hexdigest()
    )
