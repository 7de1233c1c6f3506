"""A certificate in time, and a roster that nobody could have changed."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from client.asking import ServerRefused
from client.certificates import SiteCertificate, read_certificate
from client.home import SiteHome
from client.identity import read_roster
from client.renewal import accept_roster, fetch_roster, renew, renew_if_due
from client.site_keys import certificate_request, read_curve_key
from shared.app_signatures import fingerprint
from shared.durable import write_private
from shared.errors import ConfigurationError, ProtocolError, StateError
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home, roster_of, settings_of
from tests.client.site_server import SiteServer, serving

AUTHORITY = TestAuthority.new()


def home_of(server: SiteServer, folder: Path, name: str = "site-a") -> SiteHome:
    """A site of this server."""
    return made_home(folder / name, AUTHORITY, name=name, address=server.address)


def aged(home: SiteHome, age: float, left: float) -> None:
    """Its certificate began so many days ago and has so many left."""
    request = certificate_request(home, "site-a")
    write_private(home.certificate, AUTHORITY.signed(request, days=left, age=age).encode())


def test_a_new_certificate_is_of_the_same_key(tmp_path: Path) -> None:
    """So that there is one file to replace, at once; the server saw the old one."""
    seen: list[tuple[str, dict[str, Any]]] = []
    with serving(tmp_path, AUTHORITY) as server:
        home = home_of(server, tmp_path)
        before = home.certificate.read_bytes()
        found = renew(
            home,
            settings_of(home).site,
            lambda event, /, **detail: seen.append((event, detail)),
        )
    assert home.certificate.read_bytes() != before
    assert read_certificate(home.certificate) == found
    certificate = x509.load_pem_x509_certificate(home.certificate.read_bytes())
    assert certificate.public_key() == read_curve_key(home.key).public_key()
    assert [(path, body["shown"]) for path, body in server.asked] == [("/renew", "site-a")]
    assert seen == [("renewed", {"serial": found.serial, "expires": int(found.expires)})]


def test_it_is_renewed_when_two_thirds_of_its_life_are_over(tmp_path: Path) -> None:
    """Not before: a server should not be asked each hour."""
    with serving(tmp_path, AUTHORITY) as server:
        home = home_of(server, tmp_path)
        aged(home, 59.0, 31.0)
        assert renew_if_due(home, settings_of(home).site) is None
        assert server.asked == []
        aged(home, 61.0, 29.0)
        assert renew_if_due(home, settings_of(home).site) is not None
        assert renew_if_due(home, settings_of(home).site) is None
    assert SiteCertificate("1", 0.0, 90.0).is_due(60.0)
    assert not SiteCertificate("1", 0.0, 90.0).is_due(59.0)


@pytest.mark.parametrize("certificate", ["nothing", AUTHORITY.pem, None])
def test_a_wrong_answer_leaves_the_old_certificate(tmp_path: Path, certificate: str | None) -> None:
    """It is good for a month yet."""
    with serving(tmp_path, AUTHORITY) as server:
        home = home_of(server, tmp_path)
        before = home.certificate.read_bytes()
        server.changes = {"certificate": certificate}
        with pytest.raises(ProtocolError):
            renew(home, settings_of(home).site)
        server.refusal = 403, b'{"error": "certificate_refused", "text": "revoked"}'
        with pytest.raises(ServerRefused, match="certificate_refused"):
            renew(home, settings_of(home).site)
    assert home.certificate.read_bytes() == before


def test_a_roster_is_accepted_by_its_fingerprint(tmp_path: Path) -> None:
    """Which the operator heard by another way; in groups or not, in any case."""
    with serving(tmp_path, AUTHORITY) as server:
        homes = [home_of(server, tmp_path, name) for name in ("site-a", "site-b")]
        server.roster = roster_of(*homes)
        for home in homes:
            site = settings_of(home).site
            found = fetch_roster(home, site)
            told = fingerprint(found)
            with pytest.raises(ConfigurationError, match=told):
                accept_roster(home, site, found, "0" * 64)
            assert not home.roster.exists()
            accept_roster(home, site, found, " ".join((told[:32], told[32:])).upper())
            assert set(read_roster(home.roster)) == {"site-a", "site-b"}


def test_a_roster_without_this_sites_own_key_is_refused(tmp_path: Path) -> None:
    """A server that swapped one key may have swapped others."""
    with serving(tmp_path, AUTHORITY) as server:
        home, other = (home_of(server, tmp_path, name) for name in ("site-a", "site-b"))
        rosters = [roster_of(other), roster_of(home, other)]
        rosters[1]["clients"]["site-a"] = rosters[1]["clients"]["site-b"]
        for roster in (*rosters, roster_of(home) | {"clients": []}):
            with pytest.raises(ProtocolError, match="own key"):
                accept_roster(home, settings_of(home).site, roster, fingerprint(roster))
        twice = roster_of(home)
        twice["clients"]["site-b"] = twice["clients"]["site-a"]
        with pytest.raises(StateError, match="a key of its own"):
            accept_roster(home, settings_of(home).site, twice, fingerprint(twice))
        assert not home.roster.exists()


def test_a_roster_that_the_app_key_did_not_sign_is_refused(tmp_path: Path) -> None:
    """Nor one of another form."""
    with serving(tmp_path, AUTHORITY) as server:
        home = home_of(server, tmp_path)
        site, good = settings_of(home).site, roster_of(home)
        for changes in ({"roster": good | {"more": 1}}, {"signature": "00"}, {"signature": None}):
            server.roster, server.changes = good, changes
            with pytest.raises(ProtocolError):
                fetch_roster(home, site)
        server.changes = {}
        for roster in ({"format": "other"}, {}):
            server.roster = roster
            with pytest.raises(ProtocolError, match="of the form"):
                fetch_roster(home, site)
        server.roster = good
        assert fetch_roster(home, site) == good


def test_a_home_without_its_files_says_which(tmp_path: Path) -> None:
    """Certificate, authority, key."""
    with serving(tmp_path, AUTHORITY) as server:
        home = home_of(server, tmp_path)
        home.certificate.write_text("x")
        with pytest.raises(StateError, match=r"site\.pem"):
            read_certificate(home.certificate)
        home.key.write_text("x")
        with pytest.raises(StateError, match=r"site\.key"):
            read_curve_key(home.key)
        home.key.write_bytes(home.identity.read_bytes())
        with pytest.raises(StateError, match="another kind"):
            read_curve_key(home.key)
