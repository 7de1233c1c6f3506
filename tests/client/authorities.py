"""A server's authority for tests: it signs what a site asks for, as a real one does."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PublicKey = ec.EllipticCurvePublicKey
LOOPBACK = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@dataclass(frozen=True)
class TestAuthority:
    """Key and certificate of an authority, and the key that signs bundles and rosters."""

    __test__ = False
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    app_key: Ed25519PrivateKey

    @classmethod
    def new(cls) -> "TestAuthority":
        """A fresh one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("an authority")
        certificate = _signed(
            name, name, key.public_key(), key, [x509.BasicConstraints(True, 0)], (1.0, 10.0)
        )
        return cls(key, certificate, Ed25519PrivateKey.generate())

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """As an invitation tells it."""
        return self.certificate.fingerprint(SHA256()).hex()

    @property
    def app_hex(self) -> str:
        """Public half of the app key."""
        return self.app_key.public_key().public_bytes_raw().hex()

    def signed(self, csr_pem: str, name: str = "", days: float = 90.0, age: float = 0.1) -> str:
        """A site's certificate over the key of its request."""
        request = x509.load_pem_x509_csr(csr_pem.encode())
        subject = _name(name) if name else request.subject
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = _signed(
            subject,
            self.certificate.subject,
            request.public_key(),  # type: ignore[arg-type]
            self.key,
            [usage],
            (age, days),
        )
        return certificate.public_bytes(Encoding.PEM).decode()

    def serve_with(
        self, folder: Path, names: tuple[x509.GeneralName, ...] = LOOPBACK
    ) -> tuple[Path, Path, Path]:
        """Files of a server's chain (its certificate, the authority), its key, the authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = _signed(
            _name("a server"),
            self.certificate.subject,
            key.public_key(),
            self.key,
            [usage, x509.SubjectAlternativeName(names)],
            (1.0, 10.0),
        )
        chain, key_file, authority = (folder / name for name in ("s.pem", "s.key", "ca.pem"))
        chain.write_text(certificate.public_bytes(Encoding.PEM).decode() + self.pem)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        authority.write_text(self.pem)
        return chain, key_file, authority


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    public: PublicKey,
    signer: ec.EllipticCurvePrivateKey,
    extensions: Sequence[x509.ExtensionType],
    span: tuple[float, float],
) -> x509.Certificate:
    """Valid for so many days before and after now."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=span[0]))
        .not_valid_after(now + timedelta(days=span[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(
            extension, critical=isinstance(extension, x509.BasicConstraints)
        )
    return builder.sign(signer, SHA256())
