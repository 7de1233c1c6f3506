"""The site's own signing key: Ed25519, made once, kept in the ledger's folder, mode 0600."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from shared.errors import StateError

_CONTEXT = b"murmura ledger entry 1\n"


class SigningKey:
    """Signs entries; the private half never leaves this object and its file."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_hex = private.public_key().public_bytes_raw().hex()

    @classmethod
    def create(cls, path: Path) -> "SigningKey":
        """A new key in a new file that nobody else can read. Raises OSError."""
        private = Ed25519PrivateKey.generate()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.fchmod(handle, 0o600)
            os.write(handle, private.private_bytes_raw().hex().encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        return cls(private)

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """The key in `path`. Raises StateError if it is none, or others may read it."""
        try:
            mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
            private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
        except (OSError, ValueError) as error:
            raise StateError(f"expected the ledger's signing key in {path}, got none") from error
        if mode & 0o077:
            raise StateError(f"expected {path} to be readable by its owner alone: chmod 600 it")
        return cls(private)

    def sign(self, entry_hash: str) -> str:
        """Signature of an entry's hash; hexadecimal, as `entry_hash` is."""
        return self._private.sign(_CONTEXT + bytes.fromhex(entry_hash)).hex()


def is_signed(public_hex: str, entry_hash: str, signature: str) -> bool:
    """Whether `signature` is of `entry_hash` by the holder of the key; False for any nonsense."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
        key.verify(bytes.fromhex(signature), _CONTEXT + bytes.fromhex(entry_hash))
    except (InvalidSignature, ValueError):
        return False
    return True
