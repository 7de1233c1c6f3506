"""A site's way to its server: TLS 1.3, one authority, names checked, answers of bounded size."""

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from client.home import SiteHome
from shared.downloads import in_one_piece
from shared.errors import ConfigurationError, ProtocolError, StateError

LARGEST_ANSWER = 32 << 20  # Flower's largest object is a part of an array, of 5 MiB
_TIMEOUT_S = 30.0
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*")
_MOST_OFFERED = 8


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, IPv6 in brackets. Raises ConfigurationError on anything else.

    >>> split_address("[::1]:8443")
    ('::1', 8443)
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    valid = _is_ipv6(bare) if bracketed else _HOST.fullmatch(bare) is not None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if not (colon and valid and 1 <= number <= 65535):
        raise ConfigurationError(f"expected an address host:port, got {address!r}")
    return bare, number


def authority_context(authority_pem: str) -> ssl.SSLContext:
    """Trusts the one authority, and checks the name. Raises StateError on no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Guarantee: PROTOCOL_TLS_CLIENT requires a certificate and checks the name; no other
    # authority is loaded, whatever the machine trusts.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=authority_pem)
    except (ssl.SSLError, ValueError) as error:
        raise StateError("expected the authority's certificate in PEM") from error
    return context


def site_context(home: SiteHome) -> ssl.SSLContext:
    """As `authority_context`, and shows the site's own certificate. Raises StateError."""
    try:
        context = authority_context(home.authority.read_text())
        context.load_cert_chain(home.certificate, home.key)
    except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
        raise StateError(f"expected the site's key and certificate in {home.pki}") from error
    return context


def offered_authority(address: str, fingerprint: str, timeout_s: float = _TIMEOUT_S) -> str:
    """The authority of this fingerprint, in PEM, out of the chain that `address` offers.

    Nothing but a TLS greeting is sent; the chain is not trusted for anything else.

    Args:
        address: host:port.
        fingerprint: SHA-256 of the authority's certificate, hexadecimal.
        timeout_s: Of the whole greeting.

    Raises:
        ProtocolError: nothing answers, or no certificate of the chain has the fingerprint.
    """
    host, port = split_address(address)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_3
    blind.check_hostname = False
    # Secrecy: whoever answers learns nothing here; the connection is closed after the greeting.
    blind.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout_s) as plain,
            blind.wrap_socket(plain, server_hostname=host) as greeted,
        ):
            offered = list(_chain(greeted))[:_MOST_OFFERED]
    except OSError as error:
        raise ProtocolError(f"no TLS 1.3 server answers at {address}: {error}") from error
    for content in offered:
        certificate = x509.load_der_x509_certificate(content)
        if certificate.fingerprint(hashes.SHA256()).hex() == fingerprint:
            return certificate.public_bytes(Encoding.PEM).decode()
    raise ProtocolError(
        f"expected an authority of the fingerprint {fingerprint[:16]}..., got another: the "
        "invitation is of another server, or somebody stands in between"
    )


def https(context: ssl.SSLContext, *, largest: int = LARGEST_ANSWER) -> httpx.Client:
    """A client for one server: no redirect, no proxy of the environment, no packed answers.

    Args:
        context: Whom it trusts, and what it shows.
        largest: Bytes of an answer; a larger one ends as `httpx.ReadError`.
    """

    def bounded(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.RemoteProtocolError("expected an answer that is not packed")
        if not isinstance(response.stream, httpx.SyncByteStream):
            raise httpx.RemoteProtocolError("expected an answer of bytes")
        response.stream = _Bounded(response.stream, largest)

    client = httpx.Client(
        verify=context,
        timeout=_TIMEOUT_S,
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [bounded]},
    )
    # Guarantee: a server takes a request of a site once, so it is never sent again as it is.
    in_one_piece(client, context, largest, again=False)
    return client


def base_url(address: str) -> str:
    """Of the server at host:port."""
    host, port = split_address(address)
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class _Bounded(httpx.SyncByteStream):
    """Breaks off after so many bytes."""

    def __init__(self, inner: httpx.SyncByteStream, largest: int) -> None:
        self._inner = inner
        self._left = largest

    def __iter__(self) -> Iterator[bytes]:
        for part in self._inner:
            self._left -= len(part)
            if self._left < 0:
                raise httpx.ReadError("the answer is too large")
            yield part

    def close(self) -> None:
        self._inner.close()


def _chain(greeted: ssl.SSLSocket) -> Iterator[bytes]:
    # Public since Python 3.13; before, the same method of the inner object (tests/client/test_tls).
    inner: Any = greeted if hasattr(greeted, "get_unverified_chain") else greeted._sslobj  # type: ignore[attr-defined] # noqa: SLF001
    for certificate in inner.get_unverified_chain() or ():
        yield certificate if isinstance(certificate, bytes) else certificate.public_bytes(_DER)


_DER = 2  # _ssl.ENCODING_DER


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False
