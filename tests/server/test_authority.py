"""Certificates: for the name that was let in, over a key that was proved, and for one use."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from server.authority import (
    SITE_DAYS,
    Authority,
    checked_request,
    days_left,
    key_digest,
    serial_of,
)
from server.founding import found
from server.home import ServerHome
from server.refusals import Refused
from server.settings import ServerSettings
from shared.errors import StateError
from tests.server.site_client import request_for

NAMES = ("fl.example.org", "192.0.2.7", "2001:db8::1")
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ServerHome:
    """A home with an authority."""
    made = ServerHome(tmp_path_factory.mktemp("authority") / "home")
    found(made, ServerSettings(names=NAMES))
    return made


@pytest.fixture
def authority(home: ServerHome) -> Authority:
    """Opened anew."""
    return Authority.open(home)


def usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """What a certificate may be used for."""
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_authority_signs_ends_of_chains_alone(authority: Authority) -> None:
    """Whoever stole a site's key cannot make more sites."""
    constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    issued = x509.load_pem_x509_certificate(
        authority.issue_site("a", request_for("a", KEY)).pem.encode()
    )
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    issued.verify_directly_issued_by(authority.certificate)


def test_a_sites_certificate_says_its_name_and_is_for_a_client(authority: Authority) -> None:
    """And for no server; it ends after 90 days."""
    issued = authority.issue_site("site-a", request_for("site-a", KEY))
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert [entry.value for entry in certificate.subject] == ["site-a"]
    assert usage(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.public_key() == KEY.public_key()
    assert SITE_DAYS - 1 < days_left(certificate) <= SITE_DAYS
    assert issued.serial == serial_of(certificate)
    assert issued.key_digest == key_digest(KEY.public_key())


def test_the_servers_certificate_holds_every_name_and_is_for_a_server(
    authority: Authority,
) -> None:
    """IPv6 and loopback too."""
    certificate = authority.server_certificate()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found_names = {str(entry.value) for entry in names}
    assert found_names == {*NAMES, "localhost", "127.0.0.1", "::1"}
    assert usage(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not authority.server_is_due()


def test_a_renewed_server_has_another_key_and_more_names(
    authority: Authority, home: ServerHome
) -> None:
    """Key and chain in one file, which OpenSSL reads."""
    before = authority.server_certificate()
    authority.renew_server((*NAMES, "other.example.org"))
    after = authority.server_certificate()
    assert before.public_key() != after.public_key()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(home.pki / "server.key")


def test_a_certificate_that_ends_soon_is_due(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month before."""
    monkeypatch.setattr("server.authority.RENEW_BEFORE_DAYS", 400)
    assert authority.server_is_due()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "nonsense",
        "x" * 9000,
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "\ud800",
        request_for("site-b", KEY),
        request_for("site-a", Ed25519PrivateKey.generate()),
        request_for("site-a", ec.generate_private_key(ec.SECP384R1())),
        request_for("site-a", rsa.generate_private_key(65537, 2048)),
    ],
    ids=range(9),
)
def test_a_request_that_is_wrong_is_refused_by_its_code(pem: str) -> None:
    """Another name, another curve, or no request at all."""
    with pytest.raises(Refused) as caught:
        checked_request(pem, "site-a")
    assert caught.value.code == "csr_invalid"
    assert caught.value.status == 400


def test_a_request_with_two_names_is_refused() -> None:
    """One of them might be another site's."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("site-a", "site-b")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    with pytest.raises(Refused, match="csr_invalid"):
        checked_request(pem, "site-a")


def test_what_a_request_asks_for_beside_its_name_is_not_granted(authority: Authority) -> None:
    """No certificate authority is made by asking for one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site-a")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    wish = x509.BasicConstraints(ca=True, path_length=3)
    pem = (
        builder.add_extension(wish, critical=True)
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    issued = x509.load_pem_x509_certificate(authority.issue_site("site-a", pem).pem.encode())
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


_PARSED = x509.load_pem_x509_csr(request_for("site-a", KEY).encode())
REQUEST = _PARSED.public_bytes(Encoding.DER)
SIGNED = REQUEST.index(_PARSED.tbs_certrequest_bytes) + len(_PARSED.tbs_certrequest_bytes)


@example(place=REQUEST.index(b"\x02\x01\x00") + 2, change=1)  # another version
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
@given(place=st.integers(0, SIGNED - 1), change=st.integers(1, 255))
def test_a_request_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    """Of all that is signed; beyond it lies the signature, whose form may vary a little."""
    import base64

    changed = bytearray(REQUEST)
    changed[place] ^= change
    text = base64.encodebytes(bytes(changed)).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(Refused, match="csr_invalid"):
        checked_request(pem, "site-a")


@given(st.text(max_size=300))
def test_no_text_is_taken_for_a_request(text: str) -> None:
    """Nor does any end in another error."""
    with pytest.raises(Refused):
        checked_request(text, "site-a")


def broken(home: ServerHome, name: str, content: bytes) -> None:
    """One file of the authority replaced."""
    (home.pki / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ca.key", b"none"),
        ("ca.pem", b"none"),
        ("ca.key", None),
        ("server.pem", b""),
    ],
)
def test_an_authority_that_is_damaged_says_so(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    """Also where the key is that of another."""
    home = ServerHome(tmp_path / "home")
    found(home, ServerSettings(names=NAMES))
    other = ServerHome(tmp_path / "other")
    found(other, ServerSettings(names=NAMES))
    broken(home, name, (other.pki / name).read_bytes() if content is None else content)
    with pytest.raises(StateError, match="expected"):
        Authority.open(home).server_certificate()


def test_the_fingerprint_is_that_of_the_certificate(authority: Authority) -> None:
    """As a site computes it from what it is shown."""
    import hashlib

    der = ssl.PEM_cert_to_DER_cert(authority.pem)
    assert authority.fingerprint == hashlib.sha256(der).hexdigest()


def test_clocks_may_differ_a_little(authority: Authority) -> None:
    """A certificate counts for a site whose clock is some minutes behind."""
    issued: Any = x509.load_pem_x509_certificate(
        authority.issue_site("a", request_for("a", KEY)).pem.encode()
    )
    assert issued.not_valid_after_utc - issued.not_valid_before_utc > timedelta(days=SITE_DAYS)
