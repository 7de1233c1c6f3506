"""A site's three keys: made here, readable by their owner alone, never sent anywhere.

TLS ECDSA P-256; Flower's node authentication ECDSA P-384; secure aggregation Ed25519.
"""

from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from client.home import SiteHome
from client.identity import read_identity
from shared.durable import write_private
from shared.errors import StateError

_Key = TypeVar("_Key", ec.EllipticCurvePrivateKey, Ed25519PrivateKey)


def make_keys(home: SiteHome) -> None:
    """All keys are there; those that were are kept: a join that broke off goes on with them."""
    _make(home.key, ec.generate_private_key(ec.SECP256R1()))
    _make(home.node_key, ec.generate_private_key(ec.SECP384R1()))
    _make(home.identity, Ed25519PrivateKey.generate())


def read_curve_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in `path`. Raises StateError on anything else."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"expected an ECDSA key in {path}, got none") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StateError(f"expected an ECDSA key in {path}, got another kind")
    return key


def certificate_request(home: SiteHome, name: str) -> str:
    """For the site's TLS key, under `name` alone; PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return (
        builder.sign(read_curve_key(home.key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    )


def node_key_pem(home: SiteHome) -> str:
    """Public half of the node's key."""
    public = read_curve_key(home.node_key).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def identity_hex(home: SiteHome) -> str:
    """Public half of the identity."""
    return read_identity(home.identity).public_key().public_bytes_raw().hex()


def _make(path: Path, fresh: _Key) -> None:
    if not path.exists():
        write_private(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
