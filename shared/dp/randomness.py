"""Where a run's randomness comes from: keyed ChaCha20 streams (docs/adr/0005).

Keys, sampling and noise come from a cryptographic stream. In deployment each stream has a fresh
key of the operating system. In a seeded run, for simulation only, the key is derived from the
seed, the purpose and labels such as client and round: the same labels give the same stream in any
order and any process, which makes a seeded run the same over both transports and after a resume.

Source: RFC 8439 (ChaCha20), RFC 7693 (BLAKE2), Box & Muller 1958. The block counter has 32 bits: a
stream ends after 256 GiB, where the library refuses to go on rather than repeat itself.
"""

import hashlib
import operator
import os
from typing import Literal, Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from shared.config import OS_RANDOMNESS
from shared.dp.circle import on_circle
from shared.errors import ConfigurationError

KEY_BYTES = 32
_CHUNK = 1 << 16  # normal numbers of one piece of the stream, radii before angles
_BLOCK = 1 << 14  # pairs of them worked out at once: all stays in cache
_ZEROS = memoryview(bytes(1 << 17))  # a keystream is the cipher of these, in place
Label = str | int
Policy = Literal["os_csprng", "seeded_simulation"]


class RandomStream:
    """One ChaCha20 keystream; whoever lacks the key cannot tell it from uniform bytes.

    Args:
        key: 32 bytes, used for this stream alone.

    Raises:
        ConfigurationError: `key` has another length.
    """

    __slots__ = ("_keystream",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        # Secrecy: one key, one stream; so a zero nonce never meets the same key twice.
        self._keystream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()

    def __repr__(self) -> str:
        """The class alone: a key is never printed."""
        return "RandomStream()"

    def take(self, count: int) -> bytearray:
        """The next `count` bytes of the keystream."""
        out = bytearray(count)
        with memoryview(out) as view:
            for start in range(0, count, len(_ZEROS)):
                part = view[start : start + len(_ZEROS)]
                self._keystream.update_into(_ZEROS[: len(part)], part)
        return out

    def words(self, count: int) -> NDArray[np.uint64]:
        """Shape (count,), each uniform on 0..2⁶⁴-1."""
        return np.frombuffer(self.take(8 * count), dtype="<u8").astype(np.uint64, copy=False)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Shape (count,), each uniform on the multiples of 2⁻⁵³ in [0, 1)."""
        return _fractions(self.words(count))

    def thresholds(self, count: int) -> NDArray[np.float64]:
        """Shape (count,), each uniform on the multiples of 2⁻³² in [0, 1): half the bytes."""
        words = np.frombuffer(self.take(4 * count), dtype="<u4")
        return words * 2.0**-32

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Shape (count,), independent standard normal numbers (Box-Muller, double precision).

        Not protected against attacks on floating point (Mironov 2012); the report says so. The
        tail ends at 8.6 standard deviations, which is exceeded with probability 10⁻¹⁷.
        """
        out = np.empty(count + count % 2)
        for start in range(0, len(out), _CHUNK):
            part = out[start : start + _CHUNK]
            half = len(part) // 2
            words = self.words(2 * half)
            for first in range(0, half, _BLOCK):
                near = slice(first, min(first + _BLOCK, half))
                far = slice(half + near.start, half + near.stop)
                radius = _fractions(words[near])
                np.negative(radius, out=radius)
                np.log1p(radius, out=radius)
                radius *= -2.0
                np.sqrt(radius, out=radius)
                part[near], part[far] = on_circle(_fractions(words[far]), radius)
        return out[:count]

    def permutation(self, count: int) -> NDArray[np.int64]:
        """A uniformly random order of 0..count-1, shape (count,), int64."""
        while True:
            keys = self.words(count)
            order = np.argsort(keys, kind="stable")
            ordered = keys[order]
            # Equal keys would favour the order they came in; they occur once in 2⁶⁴/n² draws.
            if not np.any(ordered[1:] == ordered[:-1]):
                return order.astype(np.int64, copy=False)

    def integer(self) -> int:
        """One whole number in [0, 2⁶³), to seed a library's own generator."""
        return int.from_bytes(self.take(8), "little") >> 1


class Randomness(Protocol):
    """Makes the streams of a run."""

    @property
    def seeded(self) -> bool:
        """Whether whoever knows the seed can predict every stream."""

    @property
    def policy(self) -> Policy:
        """What the report says of it."""

    def stream(self, purpose: str, *labels: Label) -> RandomStream:
        """A stream for one purpose, e.g. ("record_noise", client, round, attempt, step)."""


class OperatingSystemRandomness:
    """Every stream has a fresh key of the operating system; labels are ignored."""

    seeded = False
    policy: Policy = "os_csprng"

    def stream(self, purpose: str, *labels: Label) -> RandomStream:
        """A stream that nobody can repeat."""
        del purpose, labels
        return RandomStream(os.urandom(KEY_BYTES))


class SeededRandomness:
    """Streams are a function of (seed, purpose, labels): for simulation only.

    Args:
        seed: Any whole number at least 0. Whoever knows it knows the noise.
    """

    seeded = True
    policy: Policy = "seeded_simulation"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __repr__(self) -> str:
        """The class alone."""
        return "SeededRandomness()"

    def stream(self, purpose: str, *labels: Label) -> RandomStream:
        """The one stream of these labels; different labels give independent streams."""
        parts = [_encoded(part) for part in (self._seed, purpose, *labels)]
        digest = hashlib.blake2b(b"".join(parts), digest_size=KEY_BYTES, person=b"murmura stream 1")
        return RandomStream(digest.digest())


def randomness_for(seed: str | int) -> Randomness:
    """The randomness that a configuration's `seed` asks for: "os", or a whole number.

    Raises:
        ConfigurationError: another text.
    """
    if isinstance(seed, int):
        return SeededRandomness(seed)
    if seed != OS_RANDOMNESS:
        raise ConfigurationError(f"seed must be {OS_RANDOMNESS!r} or a whole number, got {seed!r}")
    return OperatingSystemRandomness()


def _fractions(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The upper 53 bits of each as a number in [0, 1)."""
    # As signed numbers, which they all fit: processors turn those into floats at once.
    found = (words >> np.uint64(11)).view(np.int64).astype(np.float64)
    found *= 2.0**-53
    return found


def _encoded(part: Label) -> bytes:
    """Type, length and content: no two sequences of labels have one encoding."""
    if isinstance(part, str):
        kind, content = b"s", part.encode()
    else:
        # A whole number of numpy's labels the same stream as Python's; a fraction is a TypeError.
        kind, content = b"i", str(int(operator.index(part))).encode()
    return kind + len(content).to_bytes(8, "little") + content
