"""The gate before Flower: one site's certificate opens its own node's requests, each once."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st

from server.fleet_gate import FLEET_PATHS, MIB, PUSH_MESSAGES, PUSH_OBJECT, FleetGate
from server.refusals import Refused
from server.settings import Limits
from server.sites import EnrolledSite
from server.superlink import PUBLIC_KEY_HEADER, SIGNATURE_HEADER
from tests.server.asgi import scope_of
from tests.server.site_client import SiteKeys

KEYS = SiteKeys("site-a")
ORDER_P384 = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
PULL = "/v1/fleet/pull-messages"


class Bench:
    """A gate, its clock and what it thinks of pushes."""

    def __init__(self, **limits: int) -> None:
        self.now = 0.0
        self.flaw = ""
        self.gate = FleetGate(
            Limits(**limits),
            (PUBLIC_KEY_HEADER, SIGNATURE_HEADER),
            lambda _body, _most: self.flaw,
            lambda: self.now,
        )

    def code(self, headers: Any = None, path: str = PULL, body: bytes = b"") -> str:
        """Why a request is refused; "" if it is not."""
        given_headers = headers_of(KEYS.headers()) if headers is None else headers
        try:
            self.gate.check(site(), scope_of("POST", path, given_headers), body)
        except Refused as refusal:
            return refusal.code
        return ""


def site() -> EnrolledSite:
    """Whose certificate it is."""
    return EnrolledSite(
        name="site-a",
        node_key=KEYS.node_key,
        identity="",
        certificates={},
        key_digest="",
        joined=0.0,
    )


def headers_of(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As a server sees them."""
    return [(key.encode(), value.encode()) for key, value in headers.items()]


def test_a_sites_own_node_passes_and_no_other_does() -> None:
    """Although the other is enrolled too, and signs rightly."""
    bench = Bench()
    assert bench.code() == ""
    assert bench.code(headers_of(SiteKeys("site-b").headers())) == "key_mismatch"


@pytest.mark.parametrize("name", [PUBLIC_KEY_HEADER, SIGNATURE_HEADER])
def test_a_header_is_there_once(name: bytes) -> None:
    """Of two the gate might look at one, and Flower at the other."""
    headers = headers_of(KEYS.headers())
    without = [entry for entry in headers if entry[0] != name]
    assert Bench().code(without) == "key_mismatch"
    assert Bench().code(headers + [entry for entry in headers if entry[0] == name]) != ""


def test_a_request_counts_once() -> None:
    """1,000 recorded ones are all refused, and the next honest one passes."""
    bench = Bench()
    recorded = [headers_of(KEYS.headers()) for _ in range(1000)]
    assert [bench.code(headers) for headers in recorded] == [""] * 1000
    assert {bench.code(headers) for headers in recorded} == {"replayed"}
    bench.now = 300.0
    assert {bench.code(headers) for headers in recorded} == {"replayed"}
    assert bench.code() == ""


def test_the_other_form_of_a_signature_is_the_same_request() -> None:
    """With (r, s), (r, -s) is valid too, and anybody can make it."""
    from base64 import b64decode, b64encode

    bench = Bench()
    headers = KEYS.headers()
    assert bench.code(headers_of(headers)) == ""
    first, second = decode_dss_signature(b64decode(headers["flwr-signature"]))
    other = encode_dss_signature(first, ORDER_P384 - second)
    turned = headers | {"flwr-signature": b64encode(other).decode()}
    assert bench.code(headers_of(turned)) == "replayed"


def test_what_is_remembered_is_forgotten_after_the_window() -> None:
    """Flower refuses it then by its time; the gate's memory does not grow for ever."""
    bench = Bench()
    for _ in range(50):
        bench.now += 400.0
        assert bench.code() == ""
    seen = bench.gate._seen["site-a"]
    assert len(seen._now) + len(seen._before) <= 2
    bench.gate.forget("site-a")
    assert bench.gate._seen == {}


@given(key=st.binary(max_size=40), signature=st.binary(max_size=40))
def test_no_header_ends_in_another_error(key: bytes, signature: bytes) -> None:
    """Whatever bytes they are."""
    headers = [(PUBLIC_KEY_HEADER, key), (SIGNATURE_HEADER, signature)]
    assert Bench().code(headers) == "key_mismatch"


def test_a_reply_that_is_flawed_does_not_reach_flower() -> None:
    """It would be written down as it is."""
    bench = Bench()
    bench.flaw = "expected the content as objects, not within the message"
    assert bench.code(path=PUSH_MESSAGES) == "message_invalid"
    bench.flaw = ""
    assert bench.code(path=PUSH_MESSAGES) == ""


def test_a_reply_has_so_many_bytes_and_no_more() -> None:
    """Over all its parts; the next reply starts anew."""
    bench = Bench(update_mib=2, body_mib=1)
    part = bytes(MIB)
    assert bench.code(path=PUSH_MESSAGES) == ""
    assert [bench.code(path=PUSH_OBJECT, body=part) for _ in range(3)] == ["", "", "too_large"]
    assert bench.code(path=PUSH_MESSAGES) == ""
    assert bench.code(path=PUSH_OBJECT, body=part) == ""


def test_each_path_has_its_size_and_registering_is_no_path() -> None:
    """Small but for parts of arrays."""
    gate = Bench(body_mib=3).gate
    assert gate.largest_body(PUSH_OBJECT) == 3 * MIB
    assert gate.largest_body(PUSH_MESSAGES) == MIB
    assert gate.largest_body(PULL) < MIB
    assert not {"/v1/fleet/register-node", "/v1/fleet/unregister-node"} & set(FLEET_PATHS)
