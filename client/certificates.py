"""What a server signed for a site is checked before it is kept."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import ProtocolError, StateError

_RENEW_AT = 2 / 3  # of its life


@dataclass(frozen=True, slots=True)
class SiteCertificate:
    """What matters of one.

    Attributes:
        serial: Its number, hexadecimal.
        starts: Seconds since 1970.
        expires: Likewise.
    """

    serial: str
    starts: float
    expires: float

    def is_due(self, now: float) -> bool:
        """Whether two thirds of its life are over."""
        return now >= self.starts + _RENEW_AT * (self.expires - self.starts)


def checked_authority(pem: str, fingerprint: str) -> x509.Certificate:
    """The authority's certificate, which has this fingerprint. Raises ProtocolError."""
    certificate = _loaded(pem)
    if certificate.fingerprint(hashes.SHA256()).hex() != fingerprint:
        raise ProtocolError("expected the authority that the invitation names, got another")
    return certificate


def checked_certificate(
    pem: str, name: str, key: ec.EllipticCurvePrivateKey, authority: x509.Certificate
) -> SiteCertificate:
    """What `authority` signed for `key`, under `name`. Raises ProtocolError on anything else."""
    certificate = _loaded(pem)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ProtocolError("expected a certificate of the server's authority") from error
    names = [entry.value for entry in certificate.subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )]  # fmt: skip
    if names != [name] or certificate.public_key() != key.public_key():
        raise ProtocolError(f"expected a certificate for {name!r} and this site's key")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise ProtocolError("expected a certificate that has not expired")
    return _facts(certificate)


def read_certificate(path: Path) -> SiteCertificate:
    """Of the certificate in `path`. Raises StateError."""
    try:
        return _facts(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StateError(f"expected a certificate in {path}, got none") from error


def _loaded(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ProtocolError("expected a certificate in PEM, got something else") from error


def _facts(certificate: x509.Certificate) -> SiteCertificate:
    return SiteCertificate(
        f"{certificate.serial_number:x}",
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )
