"""Enrolment: each way in which a request can be wrong has its code, and changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.app_key import public_hex, read_app_key
from server.authority import Authority, serial_of
from server.founding import found
from server.home import ServerHome
from server.invitations import Invitations
from server.refusals import STATUS, Refused
from server.settings import ServerSettings
from server.site_enrolment import Enrolment, unrecorded
from server.sites import Sites
from shared.errors import StateError
from tests.server.site_client import SiteKeys, request_for

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("version", "token", "name", "csr", "node_key", "identity")


class Desk:
    """An enrolment, its home and what it recorded."""

    def __init__(self, folder: Path) -> None:
        self.home = ServerHome(folder / "home")
        found(self.home, ServerSettings(names=("localhost",)))
        self.sites = Sites(self.home)
        self.invitations = Invitations(self.home)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.enrolment = Enrolment(
            self.home, Authority.open(self.home), self.sites, self.invitations, self.record
        )

    def record(self, event: str, /, **detail: Any) -> None:
        """In memory."""
        self.events.append((event, detail))

    def files(self) -> dict[str, bytes]:
        """What a refusal must not change."""
        return {
            path.name: path.read_bytes() for path in self.home.root.rglob("*") if path.is_file()
        }

    def refusal(self, body: bytes) -> str:
        """The code with which `body` is refused."""
        before = self.files()
        with pytest.raises(Refused) as caught:
            self.enrolment.enrol(body)
        after = self.files()
        after.pop(".lock", None)
        before.pop(".lock", None)
        assert after == before
        return caught.value.code


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A new server."""
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One for all examples."""
    return Desk(tmp_path_factory.mktemp("desk"))


def body_of(content: Any) -> bytes:
    """As it travels."""
    return json.dumps(content).encode()


def test_a_token_becomes_a_site(desk: Desk) -> None:
    """Its certificate is on the list, and all it needs is in the answer."""
    keys = SiteKeys("site-a")
    answer = desk.enrolment.enrol(body_of(keys.request(desk.invitations.invite("site-a")[0])))
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert desk.sites.admitted("site-a", serial_of(certificate))
    assert certificate.public_key() == keys.key.public_key()
    assert answer["ca"] == Authority.open(desk.home).pem
    assert answer["app_key"] == public_hex(read_app_key(desk.home))
    assert answer["name"] == "site-a"
    assert set(answer) == {"certificate", "ca", "app_key", "name"}
    assert desk.sites.all()["site-a"].node_key == keys.node_key
    assert desk.events[0][0] == "joined"


def test_each_fault_has_its_code(desk: Desk) -> None:
    """And nothing on disk is another for it."""
    keys = SiteKeys("site-a")
    token, _ = desk.invitations.invite("site-a")
    good = keys.request(token)
    assert desk.refusal(b"{") == "request_invalid"
    assert desk.refusal(body_of(good | {"version": 2})) == "request_invalid"
    assert desk.refusal(body_of(good | {"version": True})) == "request_invalid"
    assert desk.refusal(body_of(good | {"more": ""})) == "request_invalid"
    assert desk.refusal(body_of(good | {"token": 1})) == "request_invalid"
    assert desk.refusal(b"[" * 16000) == "request_invalid"
    assert desk.refusal(body_of(good | {"token": "x"})) == "token_unknown"
    assert desk.refusal(body_of(good | {"name": "site-b"})) == "name_mismatch"
    other = request_for("site-b", keys.key)
    assert desk.refusal(body_of(good | {"csr": other})) == "csr_invalid"
    assert desk.refusal(body_of(good | {"node_key": "x"})) == "key_invalid"
    assert desk.refusal(body_of(good | {"identity": "00"})) == "key_invalid"
    desk.enrolment.enrol(body_of(good))
    assert desk.refusal(body_of(SiteKeys("site-a").request(token))) == "token_used"
    again, _ = desk.invitations.invite("site-a")
    assert desk.refusal(body_of(SiteKeys("site-a").request(again))) == "name_taken"


def test_an_expired_token_says_so(desk: Desk) -> None:
    """Rather than being unknown."""
    token, expires = desk.invitations.invite("site-a")
    later = Invitations(desk.home, lambda: expires + 1)
    enrolment = Enrolment(desk.home, Authority.open(desk.home), desk.sites, later)
    with pytest.raises(Refused, match="token_expired"):
        enrolment.enrol(body_of(SiteKeys("site-a").request(token)))


def test_an_answer_that_was_lost_is_given_again_to_the_same_key_alone(desk: Desk) -> None:
    """Who found the token afterwards holds another key, and is refused."""
    keys = SiteKeys("site-a")
    body = keys.request(desk.invitations.invite("site-a")[0])
    desk.enrolment.enrol(body_of(body))
    again = desk.enrolment.enrol(body_of(body | {"csr": request_for("site-a", keys.key)}))
    certificate = x509.load_pem_x509_certificate(again["certificate"].encode())
    assert desk.sites.admitted("site-a", serial_of(certificate))
    thief = SiteKeys("site-a")
    stolen = body | {"csr": request_for("site-a", thief.key)}
    assert desk.refusal(body_of(stolen)) == "token_used"
    assert desk.refusal(body_of(body | {"node_key": thief.node_key})) == "token_used"
    desk.sites.revoke("site-a")
    assert desk.refusal(body_of(body)) == "token_used"


def test_a_site_that_was_revoked_joins_with_new_keys_alone(desk: Desk) -> None:
    """Its old ones may be what it was revoked for."""
    keys = SiteKeys("site-a")
    desk.enrolment.enrol(body_of(keys.request(desk.invitations.invite("site-a")[0])))
    desk.sites.revoke("site-a")
    token, _ = desk.invitations.invite("site-a")
    assert desk.refusal(body_of(keys.request(token))) == "key_invalid"
    assert desk.enrolment.enrol(body_of(SiteKeys("site-a").request(token)))["name"] == "site-a"


def test_a_renewal_is_for_the_name_of_the_certificate_that_asks(desk: Desk) -> None:
    """A request for another name is refused, and so is one of a site that is out."""
    keys = SiteKeys("site-a")
    desk.enrolment.enrol(body_of(keys.request(desk.invitations.invite("site-a")[0])))
    fresh = SiteKeys("site-a")
    body = body_of({"csr": request_for("site-a", fresh.key)})
    answer = desk.enrolment.renew("site-a", body)
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert desk.sites.admitted("site-a", serial_of(certificate))
    assert desk.events[-1][0] == "renewed"
    with pytest.raises(Refused, match="csr_invalid"):
        desk.enrolment.renew("site-a", body_of({"csr": request_for("site-b", fresh.key)}))
    with pytest.raises(Refused, match="request_invalid"):
        desk.enrolment.renew("site-a", body_of({"csr": 1}))
    desk.sites.revoke("site-a")
    with pytest.raises(Refused, match="certificate_refused"):
        desk.enrolment.renew("site-a", body)


def test_the_roster_is_signed(desk: Desk) -> None:
    """By the key that a site learnt when it joined."""
    keys = SiteKeys("site-a")
    desk.enrolment.enrol(body_of(keys.request(desk.invitations.invite("site-a")[0])))
    answer = desk.enrolment.roster()
    signed = json.dumps(answer["roster"], sort_keys=True, separators=(",", ":")).encode()
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex(read_app_key(desk.home))))
    public.verify(bytes.fromhex(answer["signature"]), signed)
    assert list(answer["roster"]["clients"]) == ["site-a"]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), VALUES.map(body_of)))
def test_no_body_ends_in_another_error(lasting: Desk, body: bytes) -> None:
    """Whatever JSON it is, or none."""
    with pytest.raises(Refused) as caught:
        lasting.enrolment.enrol(body)
    assert caught.value.code == "request_invalid"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FIELDS), value=st.one_of(st.text(max_size=200), VALUES))
def test_no_field_ends_in_another_error(lasting: Desk, name: str, value: Any) -> None:
    """With a token that counts, so that every check is reached; it counts on."""
    token = getattr(lasting, "token", None) or lasting.invitations.invite("site-a")[0]
    lasting.token = token  # type: ignore[attr-defined]
    good = KEYS.request(token)
    if value == good[name]:
        return
    with pytest.raises(Refused) as caught:
        lasting.enrolment.enrol(body_of(good | {name: value}))
    assert caught.value.code in STATUS
    lasting.invitations.check(token, "site-a")


KEYS = SiteKeys("site-a")


def test_a_server_without_its_signing_key_does_not_start(desk: Desk) -> None:
    """Nor with another kind of key."""
    for content in (b"none", (desk.home.pki / "ca.key").read_bytes()):
        desk.home.app_key.write_bytes(content)
        with pytest.raises(StateError, match="Ed25519"):
            read_app_key(desk.home)


def test_without_an_audit_log_nothing_is_kept() -> None:
    """The default."""
    unrecorded("joined", site="site-a")
