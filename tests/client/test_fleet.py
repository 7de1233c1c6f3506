"""A site's connection to Flower's Fleet API: what it sends, what it believes, named errors."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.error import ApiErrorCode
from hypothesis import given
from hypothesis import strategies as st

from client.fleet import Fleet
from client.fleet_errors import FleetRefused, FleetUnavailable, RequestRefused, RunOver
from client.home import SiteHome
from client.letters import Letter, Received, inflated
from client.site_keys import node_key_pem, read_curve_key
from client.tls import site_context
from shared.errors import MessageError
from shared.messages import TrainInstruction
from tests.client.authorities import TestAuthority
from tests.client.fleet_server import NODE, FleetServer, instruction_message
from tests.client.made_sites import made_home
from tests.client.site_server import listening

LARGEST = 1 << 24  # bytes of a message
AUTHORITY = TestAuthority.new()
CONTENT = RecordDict(
    {
        "murmura": ConfigRecord({"a": 1}),
        "vectors": ArrayRecord({"x": Array(np.arange(9, dtype=np.float32))}),
    }
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FleetServer]:
    """On loopback."""
    server = FleetServer(AUTHORITY)
    with listening(tmp_path, server):
        yield server


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    """Of the site that connects."""
    return made_home(tmp_path / "home", AUTHORITY)


@pytest.fixture
def fleet(server: FleetServer, home: SiteHome) -> Iterator[Fleet]:
    """Connected."""
    fleet = Fleet(
        server.address, site_context(home), read_curve_key(home.node_key), largest=1 << 20
    )
    assert fleet.connect(None) == NODE
    yield fleet
    fleet.close()


def received(server: FleetServer, fleet: Fleet, message: Message | None = None) -> Received:
    """The message, as the server gives it out."""
    server.give(message or instruction_message(CONTENT))
    found = fleet.receive()
    assert found is not None
    return found


def test_each_request_proves_which_node_it_is_of(
    server: FleetServer, fleet: Fleet, home: SiteHome
) -> None:
    """Flower's headers: public key, time, and the key's signature of that."""
    fleet.heartbeat()
    key = base64.b64decode(server.asking["flwr-public-key"])
    assert key == node_key_pem(home).encode()
    public = load_pem_public_key(key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(server.asking["flwr-signature"])
    public.verify(signature, server.asking["flwr-timestamp"].encode(), ec.ECDSA(SHA256()))
    [(_, activated), (_, alive)] = server.asked
    assert activated.public_key == key
    assert alive.node.node_id == NODE


def test_a_message_comes_as_it_was_sent(server: FleetServer, fleet: Fleet) -> None:
    """Also where its objects come later than it does."""
    assert fleet.receive() is None
    letter = Letter.of(instruction_message(CONTENT))
    server.late = {*letter.objects}
    found = received(server, fleet)
    message = fleet.content(found)
    assert message.content == CONTENT
    assert message.metadata.message_id == found.metadata.message_id
    fleet.confirm(found)
    assert server.asked[-1][1].message_object_id == found.metadata.message_id


def test_what_is_not_what_was_announced_is_refused(server: FleetServer, fleet: Fleet) -> None:
    """A changed object, one less, another tree, node or sender, too many bytes."""
    found = received(server, fleet)
    name = found.names()[0]
    whole = server.objects[name]
    for content, said in ((whole + b"x", "own hash"), (None, "one less")):
        server.objects.pop(name)
        if content is not None:
            server.objects[name] = content
        with pytest.raises(MessageError, match=said):
            fleet.content(found)
    server.objects[name] = whole
    other = ObjectTree(object_id="0" * 64).SerializeToString()
    for tree in (other, b"\xff"):
        with pytest.raises(MessageError):
            fleet.content(replace(found, tree=tree))
    for stranger in (instruction_message(CONTENT, dst=7), instruction_message(CONTENT, src=9)):
        with pytest.raises(MessageError, match="to this node"):
            fleet.content(received(server, fleet, stranger))
    large = RecordDict({"v": ArrayRecord({"x": Array(np.zeros(1 << 19, dtype=np.float32))})})
    with pytest.raises(MessageError, match="at most"):
        fleet.content(received(server, fleet, instruction_message(large)))


def test_an_answer_is_handed_in_whole_and_may_be_handed_in_again(
    server: FleetServer, fleet: Fleet
) -> None:
    """The same bytes."""
    letter = Letter.of(Message(CONTENT, reply_to=received(server, fleet).bare()))
    for _ in range(2):
        fleet.send(letter)
        assert server.pushed == letter.objects
    assert inflated(letter.digest, dict(server.pushed), LARGEST).content == CONTENT
    assert (letter.run_id, letter.size) == (1, sum(map(len, letter.objects.values())))
    server.stored = False
    with pytest.raises(FleetUnavailable, match="another copy"):
        fleet.send(letter)


def test_a_run_is_told_with_its_bundle(fleet: Fleet) -> None:
    """Which must be the one that its hash names."""
    order = fleet.order(3)
    assert (order.bundle_hash, dict(order.overrides)) == ("h", {})
    assert fleet.bundle(3, sha256(b"an app").hexdigest()) == b"an app"
    with pytest.raises(MessageError, match="of hash"):
        fleet.bundle(3, "00" * 32)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (503, b"", FleetUnavailable), (429, b"{}", FleetUnavailable), (500, b"x", FleetUnavailable),
        (401, b"{}", FleetRefused), (403, b'{"error": "certificate_refused"}', FleetRefused),
        (412, b"{}", FleetRefused), (413, b"", RequestRefused), (404, b"", RequestRefused),
        (403, b'{"code": 2, "detail": "x"}', FleetRefused), (200, b"\xff\xff", FleetUnavailable),
        (307, b"", FleetRefused),
    ],
)  # fmt: skip
def test_errors_are_told_apart(
    server: FleetServer, fleet: Fleet, status: int, content: bytes, kind: type[Exception]
) -> None:
    """To be tried again, refused for good, or refused for this request."""
    server.refusals["get-run"] = [(status, content)]
    with pytest.raises(kind) as caught:
        fleet.order(3)
    assert type(caught.value) is kind
    assert fleet.order(3).bundle_hash == "h"


def test_a_run_that_is_over_is_said_to_be(server: FleetServer, fleet: Fleet) -> None:
    """Flower has a code for it."""
    for code in (
        ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED,
        ApiErrorCode.FLEET_GET_RUN_FAILED,
        ApiErrorCode.FLEET_GET_FAB_FAILED,
    ):
        told = f'{{"code": {int(code)}, "detail": "over"}}'.encode()
        server.refusals["get-run"] = [(403, told)]
        with pytest.raises(RunOver):
            fleet.order(3)


def test_a_node_that_is_taken_for_alive_goes_on_by_a_sign_of_life(
    server: FleetServer, fleet: Fleet
) -> None:
    """As long as Flower's server refuses to activate it; if it knows its number."""
    server.refusals["activate-node"] = [(412, b"{}")] * 3
    assert fleet.connect(NODE) == NODE
    with pytest.raises(FleetRefused):
        fleet.connect(None)
    server.success = False
    with pytest.raises(FleetRefused, match="does not know"):
        fleet.connect(3)


def test_a_server_that_is_gone_is_unavailable(home: SiteHome) -> None:
    """And going offline is no error."""
    fleet = Fleet("127.0.0.1:1", site_context(home), read_curve_key(home.node_key), largest=1)
    with pytest.raises(FleetUnavailable):
        fleet.connect(None)
    fleet.close()


def test_what_may_be_asked_twice_is_asked_once_more_and_signed_anew(
    server: FleetServer, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection ends after the request was taken; the server takes no request twice."""
    signatures: list[str] = []
    handle, silent = server.handle, {"left": 0}

    def ending(path: str, content: bytes, shown: str | None) -> tuple[int, bytes]:
        signatures.append(server.asking["flwr-signature"])
        found = handle(path, content, shown)
        silent["left"] -= 1
        return (0, b"") if silent["left"] >= 0 else found

    server.keeps = True
    arrived = received(server, fleet)
    fleet.content(arrived)  # over connections that stay
    monkeypatch.setattr(server, "handle", ending)
    for ask in (
        fleet.heartbeat,
        lambda: fleet.order(7),
        lambda: fleet.content(arrived),
        lambda: fleet.confirm(arrived),
    ):
        silent["left"], before = 1, len(signatures)
        ask()
        assert len(signatures) >= before + 2
    assert len(set(signatures)) == len(signatures)
    silent["left"], before = 2, len(signatures)
    with pytest.raises(FleetUnavailable):
        fleet.heartbeat()
    assert len(signatures) == before + 2


def test_a_message_that_is_given_out_once_is_asked_for_once(
    server: FleetServer, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard comes anew, and the server gives back what nobody got."""
    monkeypatch.setattr(server, "handle", lambda *_: (0, b""))
    before = server.connections
    with pytest.raises(FleetUnavailable):
        fleet.receive()
    assert server.connections == before + 1


def test_another_certificate_is_shown_without_a_new_start(
    server: FleetServer, fleet: Fleet, home: SiteHome
) -> None:
    """After a renewal."""
    before = server.connections
    fleet.heartbeat()
    assert server.connections >= before
    fleet.show(site_context(home))
    fleet.heartbeat()
    assert server.asked[-1][0] == "send-node-heartbeat"


def test_objects_that_make_no_message_are_refused() -> None:
    """Of another kind, of none, or that name others."""
    name = "0" * 64
    for content in (
        b"",
        b"Message",
        b"Message  3\x00abc",
        b"Nothing  0\x00",
        b"ConfigRecord  0\x00",
    ):
        with pytest.raises(MessageError):
            inflated(name, {name: content}, LARGEST)


def test_a_message_that_grows_when_it_is_put_together_is_refused() -> None:
    """One part that an array names many times is sent once."""
    parameters = np.zeros(20_000_000, dtype=np.float32)
    content = RecordDict({"vectors": ArrayRecord({"x": Array(parameters)})})
    letter = Letter.of(instruction_message(content))
    assert letter.size < LARGEST
    with pytest.raises(MessageError, match="at most"):
        inflated(letter.digest, dict(letter.objects), LARGEST)
    message = inflated(letter.digest, dict(letter.objects), parameters.nbytes + LARGEST)
    assert message.has_content()


@cache
def whole() -> Letter:
    """A sound one."""
    return Letter.of(instruction_message(CONTENT))


@given(st.integers(0, 10), st.integers(0, 400), st.binary(max_size=12), st.booleans())
def test_no_object_does_anything_but_be_refused(
    which: int,
    place: int,
    noise: bytes,
    insert: bool,
) -> None:
    """Objects with bytes changed, put in or cut off."""
    objects = dict(whole().objects)
    name = sorted(objects)[which % len(objects)]
    content = objects[name]
    rest = content[place:] if insert else content[place + len(noise) :]
    objects[name] = content[:place] + noise + rest
    try:
        message = inflated(whole().digest, objects, LARGEST)
        if message.has_content():
            TrainInstruction.from_record(message.content)
    except MessageError:
        return


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_announcement_does_anything_but_be_refused(message: bytes, tree: bytes) -> None:
    """Whatever its bytes."""
    for each in (Received(message, tree), Received(whole().message[:90] + message, whole().tree)):
        try:
            each.bare()
            each.names()
        except MessageError:
            continue
