"""The server's own certificate authority: who holds a certificate of it was let in by a token.

EC P-256 and SHA-256 throughout. The authority signs end certificates alone (path length 0);
a site's holds its name and may identify a client, the server's holds the server's names and may
identify a server: neither can stand in for the other.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.home import ServerHome
from server.refusals import Refused
from server.settings import address_of
from shared.durable import write_private
from shared.errors import StateError

CA_DAYS, SERVER_DAYS, SITE_DAYS = 3650, 397, 90
RENEW_BEFORE_DAYS = 30
# The server itself is always reached under these, by whoever asks it on its own machine.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_CLOCKS_DIFFER = timedelta(minutes=10)
_LONGEST_REQUEST = 8192
# All that a request can make the library raise; tests/server/test_authority.py tries.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was signed.

    Attributes:
        pem: The certificate.
        serial: Its number, hexadecimal.
        expires: When it ends, in seconds since 1970.
        key_digest: SHA-256 of the public key that it is for, hexadecimal.
    """

    pem: str
    serial: str
    expires: float
    key_digest: str


class Authority:
    """Signs for one server's home.

    Args:
        home: Where keys and certificates lie.
        key: The authority's private key.
        certificate: Its certificate, signed by itself.
    """

    def __init__(
        self, home: ServerHome, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._home = home
        self._key = key
        self.certificate = certificate

    @classmethod
    def create(cls, home: ServerHome, names: Sequence[str]) -> "Authority":
        """A new authority, and the first certificate of a server of these `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        label = f"Murmura authority of {names[0]}"[:64]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
        builder = (
            _builder(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        authority = cls(home, key, builder.sign(key, hashes.SHA256()))
        write_private(home.pki / "ca.key", _private(key))
        write_private(home.pki / "ca.pem", authority.pem.encode())
        authority.renew_server(names)
        return authority

    @classmethod
    def open(cls, home: ServerHome) -> "Authority":
        """The authority of `home`. Raises StateError unless key and certificate are there."""
        try:
            key = load_pem_private_key((home.pki / "ca.key").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((home.pki / "ca.pem").read_bytes())
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise StateError(f"expected ca.key and ca.pem in {home.pki}, got none") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_of(key, certificate):
            raise StateError(f"expected ca.key and ca.pem of one key in {home.pki}, got two")
        return cls(home, key, certificate)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, hexadecimal: what an invitation tells."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def renew_server(self, names: Sequence[str]) -> Issued:
        """A new key and certificate for the server, under `names`; the file's holder takes them.

        Both lie in one file, so that no reader finds one of the old and one of the new.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        known = [_general_name(name) for name in dict.fromkeys((*names, *LOOPBACK_NAMES))]
        issued = self._issue(
            subject, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, SERVER_DAYS, known
        )
        chain = issued.pem + self.pem
        write_private(self._home.pki / "server.key", _private(key) + chain.encode())
        write_private(self._home.pki / "server.pem", chain.encode())
        return issued

    def server_certificate(self) -> x509.Certificate:
        """The certificate that the server shows. Raises StateError."""
        path = self._home.pki / "server.pem"
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())[0]
        except (OSError, ValueError, IndexError) as error:
            raise StateError(f"expected the server's certificate in {path}, got none") from error

    def server_is_due(self) -> bool:
        """Whether the server's certificate ends within `RENEW_BEFORE_DAYS`."""
        return days_left(self.server_certificate()) < RENEW_BEFORE_DAYS

    def issue_site(self, name: str, request_pem: str) -> Issued:
        """A certificate for `name`, over the key of `request_pem`; nothing else of it counts.

        Raises:
            Refused: csr_invalid.
        """
        request = checked_request(request_pem, name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._issue(subject, _curve_key(request), usage, SITE_DAYS, [x509.DNSName(name)])

    def _issue(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier,
        days: int,
        names: Sequence[x509.GeneralName],
    ) -> Issued:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(subject, self.certificate.subject, public_key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(own, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Issued(
            certificate.public_bytes(Encoding.PEM).decode(),
            serial_of(certificate),
            certificate.not_valid_after_utc.timestamp(),
            key_digest(public_key),
        )


def checked_request(pem: str, name: str) -> x509.CertificateSigningRequest:
    """The request in `pem`, if it was signed by the key it holds, of P-256, for `name` alone.

    Raises:
        Refused: csr_invalid.
    """
    try:
        if len(pem) > _LONGEST_REQUEST:
            raise ValueError
        request = x509.load_pem_x509_csr(pem.encode())
        common = [entry.value for entry in request.subject]
        # Guarantee: whoever asks holds the private key.
        genuine = request.is_signature_valid
    except _UNREADABLE as error:
        raise Refused("csr_invalid", "expected a certificate request in PEM") from error
    if not genuine:
        raise Refused("csr_invalid", "expected a request signed by its own key")
    if common != [name]:
        raise Refused("csr_invalid", f"expected a request for {name!r} alone")
    _curve_key(request)
    return request


def _curve_key(request: x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused("csr_invalid", "expected a key of curve P-256") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Refused("csr_invalid", "expected a key of curve P-256")
    return key


def key_digest(key: PublicKeyTypes) -> str:
    """SHA-256 of a public key, hexadecimal."""
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(content).hexdigest()


def serial_of(certificate: x509.Certificate) -> str:
    """A certificate's number, as it is kept."""
    return f"{certificate.serial_number:x}"


def days_left(certificate: x509.Certificate) -> float:
    """Until it ends; negative once it has."""
    return (certificate.not_valid_after_utc.timestamp() - time.time()) / 86400


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    address = address_of(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _is_of(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    return certificate.public_key() == key.public_key()


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
