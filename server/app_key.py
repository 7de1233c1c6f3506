"""The server's signing key: rosters, app bundles and the audit log are told apart from forgeries.

Ed25519. A site learns the public half when it enrols, over a connection whose authority it has
checked.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from server.home import ServerHome
from shared.app_signatures import signed_bytes
from shared.durable import write_private
from shared.errors import StateError


def create_app_key(home: ServerHome) -> Ed25519PrivateKey:
    """A new key, written to its place."""
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(home.app_key, content)
    return key


def read_app_key(home: ServerHome) -> Ed25519PrivateKey:
    """The key of `home`. Raises StateError on anything else."""
    try:
        key = load_pem_private_key(home.app_key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"expected an Ed25519 key in {home.app_key}, got none") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StateError(f"expected an Ed25519 key in {home.app_key}, got another kind")
    return key


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half, hexadecimal."""
    return key.public_key().public_bytes_raw().hex()


def signature_of(key: Ed25519PrivateKey, content: Mapping[str, Any]) -> str:
    """Of `content` as `signed_bytes` spells it; hexadecimal."""
    return key.sign(signed_bytes(content)).hex()
