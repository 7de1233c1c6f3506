"""Each client's key for one run, signed by its enrolled identity; and the secrets of two clients.

The server relays the keys and cannot change one: a client checks each against the roster that it
holds from its enrolment. The set of keys may only grow.

Source: RFC 7748 (X25519), RFC 8032 (Ed25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from shared.errors import AggregationRefused
from shared.secagg.parameters import SMALLEST
from shared.secagg.prg import stream
from shared.secagg.refusal import Refusal
from shared.secagg.shamir import all_in_field, in_field
from shared.secagg.transcript import KEY_BYTES, canonical, derive, digest

_NONCE = bytes(12)
SEAL_BYTES = 16  # that a ciphertext is longer


@dataclass(frozen=True, slots=True)
class SignedKey:
    """A client's public key for one run.

    Attributes:
        client_id: Whose.
        public_key: X25519, 32 bytes.
        signature: Ed25519, by the client's identity.
    """

    client_id: str
    public_key: bytes
    signature: bytes


def signed_key(
    identity: Ed25519PrivateKey, key: X25519PrivateKey, client_id: str, run_id: str, plan: str
) -> SignedKey:
    """What `client_id` announces before the first round of `run_id` under `plan` (a digest)."""
    public = key.public_key().public_bytes_raw()
    return SignedKey(
        client_id, public, identity.sign(_announcement(run_id, plan, client_id, public))
    )


@dataclass(frozen=True)
class KeyBook:
    """The keys of a run, each checked against the roster.

    Attributes:
        run_id: Of which run.
        plan: Digest of its privacy plan.
        keys: Public key by client.
    """

    run_id: str
    plan: str
    keys: Mapping[str, bytes]

    @classmethod
    def checked(
        cls,
        announced: Collection[SignedKey],
        enrolled: Mapping[str, bytes],
        run_id: str,
        plan: str,
    ) -> "KeyBook":
        """The book of `announced`.

        Args:
            announced: As the server relays them.
            enrolled: Ed25519 public key of each client of the roster, from a channel that the
                server cannot rewrite.
            run_id: Of this run.
            plan: Digest of the plan that this client follows.

        Raises:
            AggregationRefused: too few, one twice, one that is not enrolled, or not signed by it
                for this run and plan.
        """
        return _checked(tuple(announced), tuple(enrolled.items()), run_id, plan)

    def grown(self, later: "KeyBook") -> "KeyBook":
        """`later`, if it holds all of this book unchanged.

        Raises:
            AggregationRefused: another run or plan, or an entry that changed or went missing.
        """
        same = (self.run_id, self.plan) == (later.run_id, later.plan)
        if not same or not self.keys.items() <= later.keys.items():
            raise AggregationRefused(
                Refusal.ROSTER_CHANGED, "expected the keys of before, and perhaps more"
            )
        return later

    @cached_property
    def digest(self) -> bytes:
        """R of the protocol, 32 bytes: equal for equal books alone."""
        entries = [(client, self.keys[client]) for client in sorted(self.keys)]
        return digest("roster", self.run_id, self.plan, entries)


@lru_cache(maxsize=4)
def _checked(
    announced: tuple[SignedKey, ...],
    enrolled: tuple[tuple[str, bytes], ...],
    run_id: str,
    plan: str,
) -> KeyBook:
    """Kept, since the many clients of a simulation check the same keys against the same roster."""
    identities = dict(enrolled)
    if len(announced) < SMALLEST:
        raise AggregationRefused(
            Refusal.TOO_FEW_KEYS, f"expected at least {SMALLEST} keys, got {len(announced)}"
        )
    keys: dict[str, bytes] = {}
    seen: set[bytes] = set()
    for entry in announced:
        if entry.client_id in keys or entry.public_key in seen:
            raise AggregationRefused(
                Refusal.DUPLICATE_KEY,
                f"expected one key a client, got {entry.client_id!r} twice",
            )
        if entry.client_id not in identities:
            raise AggregationRefused(
                Refusal.NOT_ENROLLED,
                f"expected a client of the roster, got {entry.client_id!r}",
            )
        signed = _announcement(run_id, plan, entry.client_id, entry.public_key)
        check_signature(identities[entry.client_id], entry.signature, signed)
        keys[entry.client_id] = entry.public_key
        seen.add(entry.public_key)
    return KeyBook(run_id, plan, keys)


def check_signature(public_key: bytes, signature: bytes, content: bytes) -> None:
    """Raise AggregationRefused unless `signature` is of `content` by `public_key`."""
    if not _is_signed(public_key, signature, content):
        raise AggregationRefused(
            Refusal.FOREIGN_SIGNATURE, "expected a signature by the enrolled client"
        )


@lru_cache(maxsize=1 << 14)
def _is_signed(public_key: bytes, signature: bytes, content: bytes) -> bool:
    """Kept, since the many clients of a simulation look at the same signatures."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def shared_secret(own: X25519PrivateKey, other: bytes) -> bytes:
    """The secret of two clients for the whole run, 32 bytes; only derived keys are ever used.

    Raises:
        AggregationRefused: `other` is a point of small order, whose secret everybody knows.
    """
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError as error:
        raise AggregationRefused(
            Refusal.FOREIGN_SIGNATURE, "expected a public key of full order"
        ) from error


def pair_seed(secret: bytes, context: bytes, one: str, other: str) -> bytes:
    """Seed of two clients in one attempt at one round, in the field; the same for both."""
    first, second = sorted((one, other))
    return in_field(derive(secret, "pair", context, first, second))


def helper_seed(secret: bytes, context: bytes, client: str, helper: str) -> bytes:
    """Seed of a client with a helper in one attempt; another than the helper's own with it."""
    return derive(secret, "helper", context, client, helper)


def mask_key(seed: bytes) -> bytes:
    """Key of the mask that a seed stands for."""
    return derive(seed, "mask")


def commitment(seed: bytes) -> bytes:
    """Tells a seed that was put together rightly from another; 32 bytes, says nothing of it."""
    return derive(seed, "commitment")


def derived_shares(secret: bytes, context: bytes, sender: str, receiver: str, count: int) -> bytes:
    """Shares that both make alike and nobody sends: `count` numbers of the field, 32 bytes each."""
    # Secrecy: one key for each context, sender and receiver; to all others they are uniform.
    key = derive(secret, "derived shares", context, sender, receiver)
    return all_in_field(stream(key, count * KEY_BYTES))


def sealed(secret: bytes, context: bytes, sender: str, receiver: str, content: bytes) -> bytes:
    """`content` for `receiver` alone, bound to this context, sender and receiver."""
    return _cipher(secret, context, sender, receiver).encrypt(
        _NONCE, content, canonical(context, sender, receiver)
    )


def opened(secret: bytes, context: bytes, sender: str, receiver: str, content: bytes) -> bytes:
    """Inverse of `sealed`. Raises AggregationRefused if it was sealed for anything else."""
    try:
        return _cipher(secret, context, sender, receiver).decrypt(
            _NONCE, content, canonical(context, sender, receiver)
        )
    except InvalidTag as error:
        raise AggregationRefused(
            Refusal.CIPHERTEXT_OF_ANOTHER_CONTEXT,
            f"expected shares of {sender!r} for {receiver!r} in this round",
        ) from error


def _cipher(secret: bytes, context: bytes, sender: str, receiver: str) -> ChaCha20Poly1305:
    # Secrecy: one key for each context, sender and receiver, which seal once: a stored answer is
    # sent again as it is. So the nonce may be zero.
    return ChaCha20Poly1305(derive(secret, "share", context, sender, receiver))


def _announcement(run_id: str, plan: str, client_id: str, public_key: bytes) -> bytes:
    return digest("key", run_id, plan, client_id, public_key)


def forget_signatures() -> None:
    """Verify each anew from now on: a process that lives for months need not keep them."""
    _is_signed.cache_clear()
