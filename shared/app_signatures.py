"""What a server's app key signs: app bundles and rosters, as JSON with one spelling.

A site learns the key's public half when it enrols; each content begins with its format, so that a
signature of one is none of another.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BUNDLE_FORMAT = "murmura-bundle-1"


def bundle_content(bundle: bytes) -> dict[str, str]:
    """What is signed of an app bundle.

    Args:
        bundle: The whole file.
    """
    return {"format": BUNDLE_FORMAT, "sha256": hashlib.sha256(bundle).hexdigest()}


def signed_bytes(content: Mapping[str, Any]) -> bytes:
    """`content` as it is signed: sorted keys, no spaces, ASCII.

    >>> signed_bytes({"sha256": "00", "format": "x"})
    b'{"format":"x","sha256":"00"}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 of `content` as it is signed, hexadecimal: what people compare by another way."""
    return hashlib.sha256(signed_bytes(content)).hexdigest()


def is_signed(content: Mapping[str, Any], signature: str, key: str) -> bool:
    """Whether `signature` is of `content` by the Ed25519 public `key`, both hexadecimal."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(signature), signed_bytes(content))
    except (ValueError, InvalidSignature):
        return False
    return True
