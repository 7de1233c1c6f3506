"""The list of sites: what is on it counts, at once and in every process."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from client.identity import ROSTER_FORMAT as SITES_FORMAT
from client.identity import read_roster
from server.authority import Issued
from server.home import ServerHome
from server.refusals import Refused
from server.sites import Sites, checked_identity, checked_node_key
from shared.durable import read_json
from shared.errors import ConfigurationError, StateError
from tests.server.site_client import SiteKeys


class Clock:
    """Time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At some time."""
    return Clock()


@pytest.fixture
def sites(tmp_path: Path, clock: Clock) -> Sites:
    """Nobody yet."""
    (tmp_path / "pki").mkdir()
    return Sites(ServerHome(tmp_path), clock)


def issued(serial: str, expires: float = 2000.0) -> Issued:
    """A certificate of that number."""
    return Issued("", serial, expires, f"key of {serial}")


def test_a_certificate_counts_that_is_on_the_list(sites: Sites, clock: Clock) -> None:
    """Its number, its site, its time: all three."""
    sites.add("site-a", "node", "id", issued("1"))
    assert sites.admitted("site-a", "1") == sites.all()["site-a"]
    assert sites.admitted("site-a", "2") is None
    assert sites.admitted("site-b", "1") is None
    clock.now = 2000.0
    assert sites.admitted("site-a", "1") is None


def test_a_renewal_adds_a_certificate_and_keeps_the_newest(sites: Sites, clock: Clock) -> None:
    """Requests under way with the old one go on; those of long ago do not count for ever."""
    sites.add("site-a", "node", "id", issued("1"))
    sites.renew("site-a", issued("2", 3000.0))
    assert sites.admitted("site-a", "1")
    assert sites.admitted("site-a", "2")
    assert sites.all()["site-a"].key_digest == "key of 2"
    assert sites.all()["site-a"].expires == 3000.0
    for serial in ("3", "4"):
        sites.renew("site-a", issued(serial, 3000.0))
    assert sites.admitted("site-a", "1") is None
    clock.now = 2500.0
    assert list(sites.all()["site-a"].certificates) == ["2", "3", "4"]


def test_a_revoked_site_is_out_in_every_process(sites: Sites, tmp_path: Path) -> None:
    """All its certificates; the list of revoked ones names them."""
    sites.add("site-a", "node", "id", issued("1"))
    sites.renew("site-a", issued("2"))
    sites.add("site-b", "node b", "id b", issued("3"))
    elsewhere = Sites(ServerHome(tmp_path))
    assert set(elsewhere.active()) == {"site-a", "site-b"}
    sites.revoke("site-a")
    assert set(elsewhere.active()) == {"site-b"}
    assert sites.admitted("site-a", "1") is None
    assert sites.admitted("site-a", "2") is None
    assert sites.admitted("site-b", "3")
    revoked = read_json(tmp_path / "pki" / "revoked.json")["serials"]
    assert {serial: entry["name"] for serial, entry in revoked.items()} == {
        "1": "site-a",
        "2": "site-a",
    }
    with pytest.raises(ConfigurationError, match=r"site-b.*got 'site-a'"):
        sites.revoke("site-a")


def test_keys_that_were_used_are_never_used_again(sites: Sites) -> None:
    """Not those of a revoked site either; its name may be."""
    sites.add("site-a", "node", "id", issued("1"))
    for name, node, identity, code in [
        ("site-a", "n", "i", "name_taken"),
        ("site-b", "node", "i", "key_invalid"),
        ("site-b", "n", "id", "key_invalid"),
    ]:
        with pytest.raises(Refused) as caught:
            sites.check_new(name, node, identity)
        assert caught.value.code == code
    sites.revoke("site-a")
    sites.check_new("site-a", "n", "i")
    sites.add("site-a", "n", "i", issued("2"))
    assert sites.admitted("site-a", "2")
    assert sites.admitted("site-a", "1") is None
    with pytest.raises(Refused, match="key_invalid"):
        sites.check_new("site-b", "node", "other")


def test_the_roster_is_one_that_a_site_reads(sites: Sites, tmp_path: Path) -> None:
    """Of those that take part, in the format of client/identity.py."""
    import json

    keys = {name: SiteKeys(name) for name in ("b", "a", "gone")}
    for serial, (name, key) in enumerate(keys.items()):
        identity = key.identity.public_key().public_bytes_raw().hex()
        sites.add(name, key.node_key, identity, issued(str(serial)))
    sites.revoke("gone")
    path = tmp_path / "roster.json"
    path.write_text(json.dumps(sites.roster()))
    assert sites.roster()["format"] == SITES_FORMAT
    assert read_roster(path) == {
        name: keys[name].identity.public_key().public_bytes_raw() for name in ("a", "b")
    }


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"sites": []}',
        '{"sites": {"a": {"name": "a"}}}',
        '{"sites": {"a": {"name": "a", "node_key": "", "identity": "", "certificates": {}, '
        '"key_digest": "", "joined": 0, "state": "maybe"}}}',
        '{"sites": {"a": {"name": "a", "node_key": "", "identity": "", "certificates": {"1": "x"},'
        ' "key_digest": "", "joined": 0}}}',
    ],
)
def test_a_damaged_list_lets_nobody_in(sites: Sites, tmp_path: Path, content: str) -> None:
    """It is an error, not an empty list that an enrolment would overwrite."""
    (tmp_path / "sites.json").write_text(content)
    with pytest.raises(StateError):
        sites.admitted("a", "1")


def test_a_node_key_is_compared_in_one_spelling() -> None:
    """Flower compares texts; other curves and other keys are refused."""
    key = SiteKeys("a")
    assert checked_node_key(f"\n\n{key.node_key}\n") == key.node_key
    others = (ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate())
    for other in others:
        form = PublicFormat.SubjectPublicKeyInfo
        pem = other.public_key().public_bytes(Encoding.PEM, form).decode()
        with pytest.raises(Refused, match="P-384"):
            checked_node_key(pem)


@given(st.text(max_size=200))
def test_no_text_is_taken_for_a_key(text: str) -> None:
    """Nor does any end in another error."""
    for check in (checked_node_key, checked_identity):
        with pytest.raises(Refused, match="key_invalid"):
            check(text)


def test_an_identity_is_kept_in_lower_case() -> None:
    """So that two spellings of one key are one."""
    raw = SiteKeys("a").identity.public_key().public_bytes_raw().hex()
    assert checked_identity(raw.upper()) == raw
    with pytest.raises(Refused, match="key_invalid"):
        checked_node_key("x" * 5000)
