"""A second implementation of secure aggregation, in plain whole numbers.

Written from docs/secure-aggregation-format.md, and of Murmura's code it imports nothing: what both
make alike is what the page says, and not a habit of one of them. It is slow, holds every client's
keys at once and refuses nothing but false signatures and seeds: for tests alone.
"""

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes

from tests.secagg_number_verifier import numbers, pack, parameters, rows, unpack, value_at, written

VERSION = "murmura/secagg/v1/"


def canonical(*parts: Any) -> bytes:
    """Type, length and content of each part."""
    encoded = b""
    for part in parts:
        if isinstance(part, str):
            kind, content = b"s", part.encode()
        elif isinstance(part, int):
            kind, content = b"i", b"%d" % part
        elif isinstance(part, bytes):
            kind, content = b"b", part
        else:
            kind, content = b"l", canonical(*part)
        encoded += kind + len(content).to_bytes(8, "little") + content
    return encoded


def digest(purpose: str, *parts: Any) -> bytes:
    """SHA-256 for one purpose."""
    return hashlib.sha256(canonical(VERSION + purpose, *parts)).digest()


def derive(secret: bytes, purpose: str, *parts: Any) -> bytes:
    """HKDF-SHA256 by hand: extract with a salt of zeros, then one block of expansion."""
    info = (VERSION + purpose).encode() + canonical(*parts)
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def public_key(private: bytes) -> bytes:
    """X25519."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@lru_cache(maxsize=1 << 13)
def agreed(private: bytes, public: bytes) -> bytes:
    """The secret of two clients, X25519."""
    other = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(private).exchange(other)


def keystream(key: bytes, length: int) -> bytes:
    """AES-256 of 0, 1, 2 .., which is the counter mode over zeros."""
    counters = b"".join(block.to_bytes(16, "big") for block in range(-(-length // 16)))
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)[:length]  # noqa: S305 - see above


def pair_seed(secret: bytes, context: bytes, one: str, other: str) -> bytes:
    """Of two clients that mask with one another."""
    return written(numbers(derive(secret, "pair", context, min(one, other), max(one, other))))


def derived_shares(secret: bytes, context: bytes, sender: str, member: str, count: int) -> bytes:
    """What a member below the threshold holds."""
    key = derive(secret, "derived shares", context, sender, member)
    return written(numbers(keystream(key, 32 * count)))


def sealed(secret: bytes, context: bytes, sender: str, member: str, content: bytes) -> bytes:
    """Shares that are sent."""
    cipher = aead.ChaCha20Poly1305(derive(secret, "share", context, sender, member))
    return cipher.encrypt(bytes(12), content, canonical(context, sender, member))


def masked(vector: Sequence[int], bits: int, keys: Iterable[tuple[int, bytes]]) -> list[int]:
    """`vector` with a mask for each sign and key, modulo 2^b."""
    total, size = list(vector), 2 if bits == 16 else 4
    for sign, key in keys:
        for place, word in enumerate(rows(keystream(key, size * len(total)), size)):
            total[place] += sign * int.from_bytes(word, "little")
    return [value % 2**bits for value in total]


def ranked(purpose: str, context: bytes, cohort: Iterable[str]) -> list[str]:
    """The cohort in the order of a hash."""
    return sorted(cohort, key=lambda name: digest(purpose, context, name))


def neighbours(order: list[str], span: int, client: str) -> list[str]:
    """Of `client` on the circle."""
    place = order.index(client)
    around = order[place + 1 :] + order[:place]
    if not span:
        return [other for other in order if other != client]
    return around[-span:] + around[:span]


def joined(*fields: bytes) -> bytes:
    """A message of these fields."""
    return b"".join(len(part).to_bytes(8, "little") + part for part in fields)


def split(message: bytes) -> list[bytes]:
    """Inverse of `joined`."""
    found = []
    while message:
        end = 8 + int.from_bytes(message[:8], "little")
        found.append(message[8:end])
        message = message[end:]
    return found


def listed(names: Iterable[str]) -> bytes:
    """A field of names."""
    return json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode()


class Attempt:
    """One attempt at a round, by whoever holds the keys of all; each message as its fields.

    Args:
        run: `run_id`, `plan`, `model`, `kind`, `round_number`, `attempt`, `cohort`, `bits`,
            `fractions` (corrupt, dropped) and `helpers`.
        parties: By name `identity` and `key` (private), `own_seed` and `vector` of each on the
            roster.
    """

    def __init__(self, run: Mapping[str, Any], parties: Mapping[str, Mapping[str, Any]]) -> None:
        self.run, self.parties, self.bits, cohort = run, parties, run["bits"], run["cohort"]
        self.public = {name: public_key(parties[name]["key"]) for name in sorted(parties)}
        self.bound = [run["run_id"], run["plan"]]
        self.roster = digest("roster", *self.bound, self.public.items())
        said = [run[key] for key in ("model", "kind", "round_number", "attempt", "cohort", "bits")]
        self.context = digest("round", *self.bound, self.roster, *said)
        helpers, fractions = list(run["helpers"]), run["fractions"]
        size, self.threshold, self.span, _ = parameters(
            len(cohort), len(parties), fractions, len(helpers)
        )
        self.order = ranked("circle", self.context, cohort)
        self.committee = helpers or ranked("committee", self.context, cohort)[:size]
        self.derived = [] if helpers else self.committee[: self.threshold - 1]
        self.sealed = [] if helpers else self.committee[self.threshold - 1 :]
        self.dimension = len(parties[cohort[0]]["vector"])

    def neighbours(self, client: str) -> list[str]:
        """Whom `client` masks with."""
        return neighbours(self.order, self.span, client)

    def lost(self, client: str, survivors: Sequence[str]) -> list[str]:
        """Its neighbours that did not upload."""
        return sorted(set(self.neighbours(client)) - set(survivors))

    def secret(self, one: str, other: str) -> bytes:
        """For the whole run."""
        return agreed(self.parties[one]["key"], self.public[other])

    def seeds(self, client: str) -> list[bytes]:
        """Its own, then one with each neighbour."""
        own = written(numbers(self.parties[client]["own_seed"]))
        around = self.neighbours(client)
        return [own, *(pair_seed(self.secret(client, n), self.context, client, n) for n in around)]

    def helper_key(self, client: str, helper: str) -> bytes:
        """Of the mask that one helper undoes."""
        secret = self.secret(client, helper)
        return derive(derive(secret, "helper", self.context, client, helper), "mask")

    def mask_keys(self, client: str) -> list[tuple[int, bytes]]:
        """With their signs."""
        if self.run["helpers"]:
            return [(1, self.helper_key(client, helper)) for helper in self.committee]
        signs = [1, *(1 if client < other else -1 for other in self.neighbours(client))]
        keys = [derive(seed, "mask") for seed in self.seeds(client)]
        return list(zip(signs, keys, strict=True))

    def shares(self, client: str, member: str) -> bytes:
        """What `member` holds of each of the client's seeds."""
        seeds, place = self.seeds(client), self.committee.index(member) + 1
        given = [
            derived_shares(self.secret(client, name), self.context, client, name, len(seeds))
            for name in self.derived
        ]
        if place < self.threshold:
            return given[place - 1]
        columns = zip(*map(numbers, [b"".join(seeds), *given]), strict=True)
        return written(value_at(place, dict(enumerate(column))) for column in columns)

    def sign(self, client: str, content: bytes) -> bytes:
        """By its identity."""
        identity = Ed25519PrivateKey.from_private_bytes(self.parties[client]["identity"])
        return identity.sign(content)

    def keys(self) -> list[bytes]:
        """Everybody's, signed."""
        names, public = listed(self.public), b"".join(self.public.values())
        signed = [self.sign(n, digest("key", *self.bound, n, self.public[n])) for n in self.public]
        return [names, public, b"".join(signed)]

    def told(self) -> list[bytes]:
        """The context."""
        run = self.run
        counted = b"[%d, %d, %d]" % (run["round_number"], run["attempt"], self.bits)
        texts = [run[name].encode() for name in ("run_id", "plan", "kind")]
        return [*texts[:2], self.roster, run["model"], texts[2], counted, listed(run["cohort"])]

    def signed(self, client: str, vector: bytes, commitments: bytes, sent: bytes) -> list[bytes]:
        """An upload of these."""
        pieces = rows(sent, len(sent) // len(self.sealed)) if self.sealed else []
        shares = digest("shares", commitments, sorted(zip(self.sealed, pieces, strict=True)))
        hashes = digest("masked", vector), shares
        signature = self.sign(client, digest("header", self.context, client, *hashes))
        return [client.encode(), *hashes, signature, vector, commitments, sent]

    def upload(self, client: str) -> list[bytes]:
        """What an honest client sends."""
        vector = masked(self.parties[client]["vector"], self.bits, self.mask_keys(client))
        seeds = [] if self.run["helpers"] else self.seeds(client)
        commitments = b"".join(derive(seed, "commitment") for seed in seeds)
        sent = [
            sealed(self.secret(client, m), self.context, client, m, self.shares(client, m))
            for m in self.sealed
        ]
        return self.signed(client, pack(vector, self.bits), commitments, b"".join(sent))

    def request(self, member: str, uploads: Sequence[list[bytes]]) -> list[bytes]:
        """What the server asks, once it has these."""
        sent, survivors = b"", [fields[0].decode() for fields in uploads]
        if member in self.sealed:
            place, width = self.sealed.index(member), len(uploads[0][6]) // len(self.sealed)
            sent = b"".join(rows(upload[6], width)[place] for upload in uploads)
        hashes = [b"".join(column) for column in list(zip(*uploads, strict=True))[1:4]]
        return [self.context, listed(survivors), *hashes, sent]

    def answer(self, member: str, survivors: Sequence[str]) -> list[bytes]:
        """What an honest member tells."""
        start = [self.context, member.encode(), b"[]"]
        if self.run["helpers"]:
            keys = [(1, self.helper_key(name, member)) for name in survivors]
            masks = masked([0] * self.dimension, self.bits, keys)
            return [*start, b"", b"", pack(masks, self.bits)]
        own, pairs = b"", b""
        for name in survivors:
            held, around = rows(self.shares(name, member)), self.neighbours(name)
            own += held[0]
            pairs += b"".join(held[1 + around.index(u)] for u in self.lost(name, survivors))
        return [*start, own, pairs, b""]

    def total(self, uploads: Iterable[bytes], answers: Iterable[bytes]) -> list[int]:
        """The sum, out of what was sent. Raises ValueError on a false signature or seed."""
        sent = {fields[0].decode(): fields for fields in map(split, uploads)}
        for name, fields in sent.items():
            if fields != self.signed(name, *fields[4:]):
                raise ValueError(f"expected what {name!r} signed")
        vectors = [unpack(fields[4], self.dimension, self.bits) for fields in sent.values()]
        told = [split(message) for message in answers]
        keys = []
        if self.run["helpers"]:
            masks = [unpack(fields[5], self.dimension, self.bits) for fields in told]
            vectors += [[-word for word in words] for words in masks]
        for (name, other), held in self.points(sorted(sent), told).items():
            seed = written([value_at(0, dict(list(held.items())[: self.threshold]))])
            number = 0 if name == other else 1 + self.neighbours(name).index(other)
            if derive(seed, "commitment") != rows(sent[name][5])[number]:
                raise ValueError(f"expected the seed that {name!r} has with {other!r}")
            keys.append((1 if name > other else -1, derive(seed, "mask")))
        words = masked(list(map(sum, zip(*vectors, strict=True))), self.bits, keys)
        return [word - 2**self.bits if word >= 2 ** (self.bits - 1) else word for word in words]

    def points(
        self, survivors: Sequence[str], told: Iterable[Sequence[bytes]]
    ) -> Mapping[tuple[str, str], dict[int, int]]:
        """Place and share, of each survivor's seed with itself and with each lost neighbour."""
        found = defaultdict[tuple[str, str], dict[int, int]](dict)
        for fields in [] if self.run["helpers"] else told:
            place = self.committee.index(fields[1].decode()) + 1
            own, pairs = iter(numbers(fields[3])), iter(numbers(fields[4]))
            for name in survivors:
                if name not in json.loads(fields[2]):
                    found[name, name][place] = next(own)
                    for other in self.lost(name, survivors):
                        found[name, other][place] = next(pairs)
        return found
