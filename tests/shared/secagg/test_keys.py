"""Keys are those of the roster or refused; what is sealed opens for one receiver in one round."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from shared.errors import AggregationRefused
from shared.secagg import keys as keys_module
from shared.secagg.keys import (
    KeyBook,
    SignedKey,
    check_signature,
    forget_signatures,
    opened,
    pair_seed,
    sealed,
    shared_secret,
    signed_key,
)
from shared.secagg.refusal import Refusal

NAMES = ("a", "b", "c", "d")
IDENTITIES = {name: Ed25519PrivateKey.generate() for name in NAMES}
ENROLLED = {name: key.public_key().public_bytes_raw() for name, key in IDENTITIES.items()}
PRIVATE = {name: X25519PrivateKey.generate() for name in NAMES}


def announced(names: tuple[str, ...] = NAMES[:3], run: str = "run") -> list[SignedKey]:
    """As honest clients sign them."""
    return [signed_key(IDENTITIES[name], PRIVATE[name], name, run, "plan") for name in names]


def book(keys: list[SignedKey], run: str = "run", plan: str = "plan") -> KeyBook:
    """What a client makes of them."""
    return KeyBook.checked(keys, ENROLLED, run, plan)


def test_an_honest_book_holds_every_key() -> None:
    """Whatever the order; and its digest is of the content."""
    found = book(announced())
    assert found.keys == {n: PRIVATE[n].public_key().public_bytes_raw() for n in NAMES[:3]}
    assert found.digest == book(announced()[::-1]).digest
    assert found.digest != book(announced(NAMES)).digest


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("bad_swapped_key", Refusal.FOREIGN_SIGNATURE),
        ("bad_signature", Refusal.FOREIGN_SIGNATURE),
        ("bad_signer", Refusal.FOREIGN_SIGNATURE),
        ("bad_run", Refusal.FOREIGN_SIGNATURE),
        ("bad_short_signature", Refusal.FOREIGN_SIGNATURE),
        ("bad_stranger", Refusal.NOT_ENROLLED),
        ("bad_twice", Refusal.DUPLICATE_KEY),
        ("bad_one_key_for_two", Refusal.DUPLICATE_KEY),
        ("bad_too_few", Refusal.TOO_FEW_KEYS),
    ],
)
def test_a_book_that_the_server_changed_is_refused(bad: str, reason: Refusal) -> None:
    """Each with its own name."""
    keys = announced()
    server = X25519PrivateKey.generate().public_key().public_bytes_raw()
    changed = {
        "bad_swapped_key": [*keys[:2], replace(keys[2], public_key=server)],
        "bad_signature": [*keys[:2], replace(keys[2], signature=bytes(64))],
        "bad_signer": [*keys[:2], signed_key(IDENTITIES["a"], PRIVATE["c"], "c", "run", "plan")],
        "bad_run": [*keys[:2], *announced(("c",), run="another")],
        "bad_short_signature": [*keys[:2], replace(keys[2], signature=b"")],
        "bad_stranger": [
            *keys[:2],
            signed_key(IDENTITIES["c"], PRIVATE["c"], "x", "run", "plan"),
        ],
        "bad_twice": [*keys, keys[0]],
        "bad_one_key_for_two": [
            *keys,
            signed_key(IDENTITIES["d"], PRIVATE["a"], "d", "run", "plan"),
        ],
        "bad_too_few": keys[:2],
    }[bad]
    with pytest.raises(AggregationRefused) as caught:
        book(changed)
    assert caught.value.reason == reason
    assert reason in str(caught.value)


def test_a_book_may_grow_and_not_change() -> None:
    """One more is taken up; one missing, changed, or of another run is not."""
    small = book(announced())
    assert small.grown(book(announced(NAMES))).keys.keys() == set(NAMES)
    fresh = signed_key(IDENTITIES["c"], X25519PrivateKey.generate(), "c", "run", "plan")
    for later in (
        book([*announced(("a", "b")), fresh]),
        book(announced(("a", "b", "d"))),
        book(announced(run="another"), run="another"),
    ):
        with pytest.raises(AggregationRefused, match=Refusal.ROSTER_CHANGED):
            small.grown(later)


def test_x25519_is_that_of_the_standard() -> None:
    """RFC 7748, section 6.1; a point of small order, or of another length, is refused."""
    alice = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    )
    bob = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert shared_secret(alice, bob).hex() == (
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )
    for bad in (bytes(32), b"short"):
        with pytest.raises(AggregationRefused, match="full order"):
            shared_secret(alice, bad)


def test_ed25519_is_that_of_the_standard() -> None:
    """RFC 8032, section 7.1, test 2."""
    key = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_a_signature_is_verified_once_until_it_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a process that lives for months keeps few; a wrong one is refused before and after."""
    looked_at = list[bytes]()

    class Counting:
        @staticmethod
        def from_public_bytes(content: bytes) -> Ed25519PublicKey:
            looked_at.append(content)
            return Ed25519PublicKey.from_public_bytes(content)

    monkeypatch.setattr(keys_module, "Ed25519PublicKey", Counting)
    forget_signatures()
    good = (ENROLLED["a"], IDENTITIES["a"].sign(b"content"), b"content")
    for _ in range(2):
        check_signature(*good)
        with pytest.raises(AggregationRefused):
            check_signature(ENROLLED["b"], *good[1:])
    assert looked_at == [ENROLLED["a"], ENROLLED["b"]]
    forget_signatures()
    check_signature(*good)
    assert len(looked_at) == 3
    with pytest.raises(AggregationRefused):
        check_signature(ENROLLED["b"], *good[1:])


def test_chacha20_poly1305_is_that_of_the_standard() -> None:
    """RFC 8439, section 2.8.2: the tag and the first bytes."""
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you "
        b"only one tip for the future, sunscreen would be it."
    )
    made = ChaCha20Poly1305(key).encrypt(nonce, plain, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert made[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert made[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_two_clients_find_one_seed_and_no_other_pair_or_round_has_it() -> None:
    """From either side; another context or pair gives another."""
    secret = shared_secret(PRIVATE["a"], PRIVATE["b"].public_key().public_bytes_raw())
    assert secret == shared_secret(PRIVATE["b"], PRIVATE["a"].public_key().public_bytes_raw())
    assert pair_seed(secret, b"round", "a", "b") == pair_seed(secret, b"round", "b", "a")
    others = {
        pair_seed(secret, b"round", "a", "b"),
        pair_seed(secret, b"other", "a", "b"),
        pair_seed(secret, b"round", "a", "c"),
        pair_seed(bytes(32), b"round", "a", "b"),
    }
    assert len(others) == 4


def test_what_is_sealed_opens_for_its_receiver_in_its_round_alone() -> None:
    """Another secret, context, sender, receiver, or one bit: refused."""
    secret = b"s" * 32
    content = sealed(secret, b"round", "a", "b", b"shares")
    assert opened(secret, b"round", "a", "b", content) == b"shares"
    flipped = bytes([content[0] ^ 1]) + content[1:]
    for arguments in (
        (b"t" * 32, b"round", "a", "b", content),
        (secret, b"other", "a", "b", content),
        (secret, b"round", "b", "a", content),
        (secret, b"round", "a", "c", content),
        (secret, b"round", "a", "b", flipped),
        (secret, b"round", "a", "b", b""),
    ):
        with pytest.raises(AggregationRefused, match=Refusal.CIPHERTEXT_OF_ANOTHER_CONTEXT):
            opened(*arguments)
