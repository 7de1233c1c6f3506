"""Connections: bounded for strangers and for each site, the oldest gives way."""

from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from server.authority import serial_of
from server.peers import GRACE_S, Connections, Peer, peer_of
from tests.server.site_client import self_signed


class Book:
    """Connections, and which were closed."""

    def __init__(self, newcomers: int = 2, per_site: int = 2) -> None:
        self.now = 0.0
        self.connections = Connections(newcomers, per_site, lambda: self.now)
        self.closed: list[int] = []

    def arrive(self, key: int) -> None:
        """A stranger's connection, once there is room."""
        while not self.connections.room():
            self.now += 0.1
        self.connections.arrive(key, lambda: self.closed.append(key))

    def certified(self, key: int, name: str) -> None:
        """It has shown a certificate."""
        self.arrive(key)
        self.connections.certified(key, name, lambda: self.closed.append(key))


def test_the_oldest_stranger_gives_way() -> None:
    """However many come, the newest are heard."""
    book = Book()
    for key in range(5):
        book.arrive(key)
    assert book.closed == [0, 1, 2]
    assert book.connections.count() == {"newcomers": 2, "sites": 0}


def test_nobody_gives_way_before_a_handshake_had_its_time() -> None:
    """Many sites that come at once wait for each other, and do not push each other out."""
    book = Book()
    for key in range(2):
        book.arrive(key)
    assert not book.connections.room()
    assert book.closed == []
    book.connections.certified(0, "a", lambda: None)
    assert book.connections.room()
    book.arrive(2)
    book.now += GRACE_S
    assert book.connections.room()
    assert book.closed == [1]


def test_a_site_is_no_stranger_and_keeps_no_other_out() -> None:
    """Its own oldest connection gives way, and no other's."""
    book = Book()
    for key, name in enumerate(["a", "b", "a", "a"]):
        book.certified(key, name)
    assert book.closed == [0]
    for key in range(10, 15):
        book.arrive(key)
    assert book.closed == [0, 10, 11, 12]
    assert book.connections.names() == {"a", "b"}


def test_a_connection_at_work_gives_way_last() -> None:
    """The oldest idle one goes; where all are at work the oldest does, for it may be dead."""
    book = Book(per_site=3)
    at_work = {0, 1}
    for key in range(4):
        book.arrive(key)
        close = partial(book.closed.append, key)
        book.connections.certified(key, "a", close, partial(at_work.__contains__, key))
    assert book.closed == [2]
    at_work.add(3)
    book.certified(4, "a")
    assert book.closed == [2, 0]
    assert book.connections.count()["sites"] == 3


def test_a_revoked_sites_connections_are_closed() -> None:
    """All of them, and of no other."""
    book = Book(per_site=4)
    for key, name in enumerate(["a", "b", "a"]):
        book.certified(key, name)
    assert book.connections.close_site("a") == 2
    assert book.closed == [0, 2]
    assert book.connections.close_site("a") == 0
    assert book.connections.names() == {"b"}


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["", "a", "b"])), max_size=60))
def test_what_has_left_is_not_counted(steps: list[tuple[int, str]]) -> None:
    """In whatever order connections come and go."""
    book = Book(3, 2)
    for key, name in steps:
        book.connections.leave(key, name or None)
        if name:
            book.certified(key, name)
        else:
            book.arrive(key)
        count = book.connections.count()
        assert count["newcomers"] <= 3
        assert count["sites"] <= 4
    for key in range(21):
        for site in (None, "a", "b"):
            book.connections.leave(key, site)
    assert book.connections.count() == {"newcomers": 0, "sites": 0}


def test_a_peer_is_named_by_its_certificate() -> None:
    """One name, and its number."""
    pem, _ = self_signed("site-a")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    der = certificate.public_bytes(Encoding.DER)
    assert peer_of(der) == Peer("site-a", serial_of(certificate))
    assert peer_of(None) is None
    assert peer_of(b"") is None


def test_a_certificate_of_two_names_names_nobody() -> None:
    """Which of them should count?"""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("a", "b")]
    pem, _ = self_signed("a")
    one = x509.load_pem_x509_certificate(pem.encode())
    two = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(one.not_valid_before_utc)
        .not_valid_after(one.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    assert peer_of(two.public_bytes(Encoding.DER)) is None
