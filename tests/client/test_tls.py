"""A site's way to its server: whom it believes, and how much it listens to."""

import ssl
from pathlib import Path

import httpx
import pytest

from client.tls import (
    authority_context,
    base_url,
    https,
    offered_authority,
    site_context,
    split_address,
)
from shared.errors import ConfigurationError, ProtocolError, StateError
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home
from tests.client.site_server import serving

AUTHORITY = TestAuthority.new()


@pytest.mark.parametrize(
    ("address", "found", "url"),
    [
        ("fl.example.org:443", ("fl.example.org", 443), "https://fl.example.org:443"),
        ("10.0.0.1:1", ("10.0.0.1", 1), "https://10.0.0.1:1"),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443), "https://[2001:db8::1]:8443"),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, found: tuple[str, int], url: str) -> None:
    """Names, IPv4, and IPv6 in brackets."""
    assert split_address(address) == found
    assert base_url(address) == url


@pytest.mark.parametrize(
    "address",
    ["", "host", ":1", "host:", "host:0", "host:65536", "host:1x", "::1:80", "[host]:80", "[::1:80",
     "a b:1", "http://a:1", "a/b:1", "user@a:1", "-a:1", "a:¹", "a..b:1"],
)  # fmt: skip
def test_anything_else_is_refused(address: str) -> None:
    """Nothing of it reaches a URL."""
    with pytest.raises(ConfigurationError, match="host:port"):
        split_address(address)


def test_the_authority_is_found_in_the_chain_that_is_offered(tmp_path: Path) -> None:
    """By its fingerprint alone; nothing was asked of the server yet."""
    with serving(tmp_path, AUTHORITY) as server:
        found = offered_authority(server.address, AUTHORITY.fingerprint)
        assert found == AUTHORITY.pem
        with pytest.raises(ProtocolError, match="another"):
            offered_authority(server.address, TestAuthority.new().fingerprint)
        assert server.asked == []


def test_an_older_tls_is_refused(tmp_path: Path) -> None:
    """At the greeting."""
    with (
        serving(tmp_path, AUTHORITY, newest=False) as server,
        pytest.raises(ProtocolError, match=r"no TLS 1\.3 server"),
    ):
        offered_authority(server.address, AUTHORITY.fingerprint)


def test_nobody_there_is_said_so() -> None:
    """A closed port."""
    with pytest.raises(ProtocolError, match="no TLS"):
        offered_authority("127.0.0.1:1", AUTHORITY.fingerprint, 1.0)


def get(address: str, context: ssl.SSLContext, largest: int = 1000) -> bytes:
    """What the server answers to a question it does not know."""
    with https(context, largest=largest) as client:
        return client.get(f"{base_url(address)}/other").content


def test_only_the_one_authority_and_the_right_name_are_believed(tmp_path: Path) -> None:
    """Whatever the machine trusts."""
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    context = authority_context(AUTHORITY.pem)
    with serving(tmp_path / "a", AUTHORITY) as server:
        assert get(server.address, context) == b"{}"
    with (
        serving(tmp_path / "b", TestAuthority.new()) as server,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        get(server.address, context)
    with (
        serving(tmp_path / "c", AUTHORITY, named=False) as server,
        pytest.raises(httpx.ConnectError, match="IP address mismatch"),
    ):
        get(server.address, context)


def test_a_site_shows_its_own_certificate(tmp_path: Path) -> None:
    """To whoever asks for one."""
    home = made_home(tmp_path / "home", AUTHORITY, name="site-b")
    with serving(tmp_path, AUTHORITY) as server:
        get(server.address, site_context(home))
        get(server.address, authority_context(AUTHORITY.pem))
    assert [body["shown"] for _, body in server.asked] == ["site-b", None]
    home.certificate.write_text("nothing")
    with pytest.raises(StateError, match="key and certificate"):
        site_context(home)
    with pytest.raises(StateError, match="PEM"):
        authority_context("nothing")


def test_an_answer_that_is_too_large_or_packed_breaks_off(tmp_path: Path) -> None:
    """Before it is in memory."""
    context = authority_context(AUTHORITY.pem)
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = 200, bytes(1001)
        with pytest.raises(httpx.ReadError, match="too large"):
            get(server.address, context)
        server.refusal = 200, bytes(1000)
        assert len(get(server.address, context)) == 1000
        server.headers["content-encoding"] = "gzip"
        with pytest.raises(httpx.RemoteProtocolError, match="packed"):
            get(server.address, context)
