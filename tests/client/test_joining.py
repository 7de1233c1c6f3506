"""From an invitation to a home: who is believed, what is sent, what is kept, and what is not."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from client.asking import ServerRefused
from client.home import SiteHome
from client.joining import PREFIX, Choices, Invitation, join
from client.ledger import Ledger
from client.policy import SitePolicy
from client.site_keys import certificate_request, make_keys
from shared.errors import ConfigurationError, FederationError, ProtocolError, StateError
from tests.client.authorities import TestAuthority
from tests.client.made_sites import settings_of
from tests.client.site_ledger import grant
from tests.client.site_server import TOKEN, SiteServer, serving

AUTHORITY = TestAuthority.new()


def choices(folder: Path) -> Choices:
    """Data of its own, and a policy."""
    (folder / "data").mkdir(exist_ok=True)
    return Choices(data=folder / "data", grant=grant(), policy=SitePolicy(most_epsilon=4.0))


def joined(server: SiteServer, folder: Path, line: str = "") -> SiteHome:
    """The home of a site that joined."""
    home = SiteHome(folder / "home")
    join(home, Invitation.parse(line or server.line()), choices(folder))
    return home


def test_a_site_joins_by_one_line(tmp_path: Path) -> None:
    """Its home is whole: certificate, authority, settings, a ledger with the budget."""
    with serving(tmp_path, AUTHORITY) as server:
        home = joined(server, tmp_path)
    home.check()
    certificate = x509.load_pem_x509_certificate(home.certificate.read_bytes())
    certificate.verify_directly_issued_by(AUTHORITY.certificate)
    assert home.authority.read_text() == AUTHORITY.pem
    settings = settings_of(home)
    assert (settings.site.name, settings.site.server) == ("site-a", server.address)
    assert (settings.site.app_key, settings.site.authority) == (
        AUTHORITY.app_hex,
        AUTHORITY.fingerprint,
    )
    assert settings.site.data == str(tmp_path / "data")
    assert settings.policy.most_epsilon == 4.0
    assert Ledger(home.ledger).blocks["all"].grant == grant()


def test_no_key_leaves_the_site(tmp_path: Path) -> None:
    """What is sent are public halves, the token and the name; and by a name that was checked."""
    with serving(tmp_path, AUTHORITY) as server:
        home = joined(server, tmp_path)
    [(path, body)] = server.asked
    assert path == "/enrol"
    assert set(body) - {"shown"} == {"version", "token", "name", "csr", "node_key", "identity"}
    assert (body["version"], body["token"], body["name"]) == (1, TOKEN, "site-a")
    assert x509.load_pem_x509_csr(body["csr"].encode()).is_signature_valid
    assert "PUBLIC KEY" in body["node_key"]
    sent = json.dumps(server.asked)
    for key in (home.key, home.node_key, home.identity):
        content = key.read_text()
        assert "PRIVATE KEY" in content
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert not any(line in sent for line in content.splitlines()[1:-1])


def test_another_server_learns_nothing(tmp_path: Path) -> None:
    """Whoever stands in between has another authority: no token is sent, no key made."""
    with serving(tmp_path, TestAuthority.new()) as server:
        line = server.line(ca=AUTHORITY.fingerprint)
        with pytest.raises(ProtocolError, match="stands in between"):
            joined(server, tmp_path, line)
        assert server.asked == []
    assert not (tmp_path / "home" / "pki" / "site.key").exists()


def test_the_right_authority_under_a_wrong_name_learns_nothing(tmp_path: Path) -> None:
    """A server of the same authority may not stand in for another."""
    with serving(tmp_path, AUTHORITY, named=False) as server:
        with pytest.raises(ProtocolError, match="no answer"):
            joined(server, tmp_path)
        assert server.asked == []


@pytest.mark.parametrize(
    "code",
    ["token_unknown", "token_used", "token_expired", "name_mismatch", "csr_invalid", "key_invalid",
     "name_taken"],
)  # fmt: skip
def test_a_refusal_is_told_by_its_code(tmp_path: Path, code: str) -> None:
    """And nothing is joined; the text is one line of what a terminal shows."""
    told = json.dumps({"error": code, "text": "because\n\x1b[31mof " + "x" * 999}).encode()
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = 403, told
        with pytest.raises(ServerRefused, match=code) as caught:
            joined(server, tmp_path)
        assert caught.value.code == code
        assert "\n" not in str(caught.value)
        assert "\x1b" not in str(caught.value)
        assert len(str(caught.value)) < 300
    with pytest.raises(StateError):
        SiteHome(tmp_path / "home").check()


@pytest.mark.parametrize("refusal", [(500, b"<html>"), (404, b"[]"), (200, b"[]"), (200, b"\xff")])
def test_an_answer_of_another_form_is_refused(tmp_path: Path, refusal: tuple[int, bytes]) -> None:
    """Of whatever status."""
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = refusal
        with pytest.raises(ProtocolError):
            joined(server, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ca": TestAuthority.new().pem}, "authority that the invitation names"),
        ({"ca": "nothing"}, "certificate in PEM"),
        ({"ca": 3}, "a text 'ca'"),
        ({"certificate": "nothing"}, "certificate in PEM"),
        ({"certificate": AUTHORITY.pem}, "for 'site-a'"),
        ({"app_key": "00"}, "app key"),
        ({"app_key": None}, "a text 'app_key'"),
        ({"name": "site-b"}, "this site's name"),
    ],
)
def test_what_comes_back_is_checked(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Before any of it is kept."""
    with serving(tmp_path, AUTHORITY) as server:
        server.changes = changes
        with pytest.raises(ProtocolError, match=said):
            joined(server, tmp_path)
    assert not (tmp_path / "home" / "pki" / "site.pem").exists()


def test_a_certificate_for_another_key_name_authority_or_time_is_refused(tmp_path: Path) -> None:
    """Each of them would be found out later, by whoever shows it."""
    other = SiteHome(tmp_path / "other")
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = 403, b"{}"
        with pytest.raises(ServerRefused):
            joined(server, tmp_path)
        server.refusal = None
        own = certificate_request(SiteHome(tmp_path / "home"), "site-a")
        other.create()
        make_keys(other)
        for certificate in (
            AUTHORITY.signed(certificate_request(other, "site-a")),
            AUTHORITY.signed(own, name="site-b"),
            TestAuthority.new().signed(own),
            AUTHORITY.signed(own, days=-0.05),
        ):
            server.changes = {"certificate": certificate}
            with pytest.raises(ProtocolError, match="expected a certificate"):
                joined(server, tmp_path)
        server.changes = {}
        joined(server, tmp_path)


def test_a_join_that_broke_off_goes_on_with_the_same_keys(tmp_path: Path) -> None:
    """So that a server that let them in may answer again."""
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = 500, b""
        with pytest.raises(ServerRefused):
            joined(server, tmp_path)
        server.refusal = None
        joined(server, tmp_path)
        keys = [x509.load_pem_x509_csr(b["csr"].encode()).public_key() for _, b in server.asked]
        assert keys[0] == keys[1]
        with pytest.raises(StateError, match="joined before"):
            joined(server, tmp_path)
        assert len(server.asked) == 2


def test_an_expired_invitation_is_not_even_tried(tmp_path: Path) -> None:
    """It says when it expired, and what else may be wrong."""
    with serving(tmp_path, AUTHORITY) as server:
        with pytest.raises(ProtocolError, match=r"expired at 2001-09-09.*clock"):
            joined(server, tmp_path, server.line(expires=1_000_000_000))
        assert server.connections == 0


def test_data_must_be_there_and_not_in_the_home(tmp_path: Path) -> None:
    """The worker sees the data, and must not see the home."""
    inside = tmp_path / "home" / "data"
    inside.mkdir(parents=True)
    with serving(tmp_path, AUTHORITY) as server:
        for data in (tmp_path / "nothing", inside):
            with pytest.raises(ConfigurationError, match="expected"):
                join(
                    SiteHome(tmp_path / "home"),
                    Invitation.parse(server.line()),
                    Choices(data=data, grant=grant()),
                )
        assert server.asked == []


def test_who_joined_is_recorded(tmp_path: Path) -> None:
    """By number, authority and identity."""
    seen: list[tuple[str, dict[str, Any]]] = []
    with serving(tmp_path, AUTHORITY) as server:
        join(
            SiteHome(tmp_path / "home"),
            Invitation.parse(server.line()),
            choices(tmp_path),
            lambda event, /, **detail: seen.append((event, detail)),
        )
    [(event, detail)] = seen
    assert event == "joined"
    assert detail["authority"] == AUTHORITY.fingerprint
    assert set(detail) == {"server", "serial", "expires", "authority", "identity"}


LINE = SiteServer(AUTHORITY, port=443).line()


def test_an_invitation_is_read_as_a_mail_program_may_have_broken_it() -> None:
    """Blanks and line ends do not matter; the token is never shown."""
    found = Invitation.parse(f"  {LINE[:40]}\n {LINE[40:]}\r\n")
    assert found == Invitation.parse(LINE)
    assert (found.address, found.name, found.token) == ("127.0.0.1:443", "site-a", TOKEN)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    "line",
    [
        "", "murmura2:abc", PREFIX, PREFIX + "a", PREFIX + "!!!!", PREFIX + "bnVsbA", LINE[:-7],
        PREFIX + "e" * 5000,
        *(
            SiteServer(AUTHORITY, port=443).line(**changes)
            for changes in (
                {"token": None}, {"more": 1}, {"expires": "soon"}, {"expires": True},
                {"ca": "ab"}, {"ca": "zz" * 32}, {"token": "short"}, {"name": "a/b"}, {"name": ""},
                {"name": "a" * 64}, {"address": "nowhere"}, {"address": "http://x:1"},
            )
        ),
    ],
)  # fmt: skip
def test_a_line_that_is_no_invitation_is_refused(line: str) -> None:
    """Without showing what might be a token."""
    with pytest.raises(ConfigurationError) as caught:
        Invitation.parse(line)
    assert TOKEN not in str(caught.value)


@given(st.text(max_size=200), st.binary(max_size=200))
def test_no_text_does_anything_but_be_refused(text: str, noise: bytes) -> None:
    """Nor anything that is coded like an invitation."""
    for line in (text, PREFIX + text, PREFIX + base64.urlsafe_b64encode(noise).decode()):
        with pytest.raises(FederationError):
            Invitation.parse(line)
