"""A site as a server's tests need it: keys, enrolment, and calls to Flower's Fleet interface."""

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from google.protobuf.message import Message

PROTOBUF = "application/protobuf"


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as a file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request_for(name: str, key: Any) -> str:
    """A certificate request in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


@dataclass
class SiteKeys:
    """What a site makes before it joins."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    node: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP384R1())
    )
    identity: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def node_key(self) -> str:
        """Public half, PEM."""
        form = PublicFormat.SubjectPublicKeyInfo
        return self.node.public_key().public_bytes(Encoding.PEM, form).decode()

    def request(self, token: str) -> dict[str, Any]:
        """The body of `POST /enrol`."""
        return {
            "version": 1,
            "token": token,
            "name": self.name,
            "csr": request_for(self.name, self.key),
            "node_key": self.node_key,
            "identity": self.identity.public_key().public_bytes_raw().hex(),
        }

    def headers(self, at: datetime | None = None) -> dict[str, str]:
        """Flower's node authentication of one request."""
        timestamp = (at or datetime.now(UTC)).isoformat()
        signature = self.node.sign(timestamp.encode(), ec.ECDSA(hashes.SHA256()))
        return {
            "flwr-public-key": b64encode(self.node_key.encode()).decode(),
            "flwr-timestamp": timestamp,
            "flwr-signature": b64encode(signature).decode(),
        }


def context_for(ca: Path, folder: Path, certificate: str = "", key: bytes = b"") -> ssl.SSLContext:
    """TLS that trusts `ca` and shows `certificate`, if there is one."""
    context = ssl.create_default_context(cafile=str(ca))
    if certificate:
        chain = folder / f"{abs(hash(certificate))}.pem"
        chain.write_bytes(key + certificate.encode())
        context.load_cert_chain(chain)
    return context


@dataclass
class FleetClient:
    """Calls of one site over one pool of connections."""

    http: httpx.Client
    keys: SiteKeys
    base: str

    def call(
        self, path: str, message: Message, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """POST one message of Flower, signed as the node."""
        return self.http.post(
            f"{self.base}/v1/fleet/{path}",
            content=message.SerializeToString(),
            headers={"content-type": PROTOBUF, "accept": PROTOBUF}
            | (self.keys.headers() if headers is None else headers),
        )


@contextmanager
def client_of(
    base: str, context: ssl.SSLContext, keys: SiteKeys | None = None
) -> Iterator[FleetClient]:
    """A client that looks at no proxy."""
    with httpx.Client(verify=context, timeout=20.0, trust_env=False) as http:
        yield FleetClient(http, keys or SiteKeys("nobody"), base)


def signed_certificate(
    name: str, key: Any, issuer: str, issuer_key: Any, days: tuple[float, float] = (-1.0, 1.0)
) -> str:
    """A client's certificate by any authority, for any time."""
    now = datetime.now(UTC)
    common = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, entry)]) for entry in (name, issuer)
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(common[0])
        .issuer_name(common[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


def self_signed(name: str) -> tuple[str, ec.EllipticCurvePrivateKey]:
    """A certificate that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return signed_certificate(name, key, name, key), key
