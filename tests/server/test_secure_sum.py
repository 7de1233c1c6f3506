"""The keys of a run grow by clients that join, and by nothing that a client would refuse."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from server.roster import AskedRoster
from server.secure_sum import SecureSums
from shared.dp.plan import PrivacyPlan
from shared.errors import AggregationRefused, MessageError, ProtocolError
from shared.secagg.keys import signed_key
from shared.secagg.packing import joined, keys_to_bytes
from tests.aggregation_rounds import identity, public
from tests.server.fake_grid import FakeGrid, silent
from tests.server.toy import config

NAMES = ("a", "c", "d")
PLAN = PrivacyPlan.from_config(
    config(Path(), {"population.size": 5, "privacy.noise": "distributed", "privacy.delta": 0.01})
)
KEYS = {name: X25519PrivateKey.generate() for name in (*NAMES, "b")}


def announcement(
    client: str, *, signer: str = "", run_id: str = "run", key: X25519PrivateKey | None = None
) -> bytes:
    """What `client` announces, false where something is given."""
    own = KEYS[client] if key is None else key
    signed = signed_key(identity(signer or client), own, client, run_id, PLAN.digest())
    return joined(keys_to_bytes((signed,)), public(client))


def sums(*names: str) -> SecureSums:
    """Of a roster of these clients."""
    roster = AskedRoster()
    for node, name in enumerate(names):
        roster.add(name, node, announcement(name))
    return SecureSums(PLAN, roster, FakeGrid(5, silent), run_id="run", timeout_s=1.0)


def test_keys_that_grew_are_those_of_a_run_that_began_with_all() -> None:
    """Whenever a client came: the digest that all are bound to is of the set of keys."""
    grown = sums(*NAMES)
    before = grown._book.digest
    grown.join("b", announcement("b"))
    assert grown._book.digest == sums("a", "b", "c", "d")._book.digest != before


def test_everybody_is_shown_the_keys_again() -> None:
    """Whoever has seen the smaller set would refuse a sum of the larger one."""
    grown = sums(*NAMES)
    grown._informed |= set(NAMES)
    grown.join("b", announcement("b"))
    assert grown._informed == set()


@pytest.mark.parametrize(
    ("false", "error"),
    [
        (announcement("b", signer="a"), AggregationRefused),
        (announcement("b", run_id="another"), AggregationRefused),
        (announcement("b", key=KEYS["a"]), AggregationRefused),
        (announcement("a"), ProtocolError),
        (b"", MessageError),
    ],
    ids=["another's signature", "another run", "another's key", "another's name", "nothing"],
)
def test_a_key_that_clients_would_refuse_changes_nothing(
    false: bytes, error: type[Exception]
) -> None:
    """One bad node must not stop those who are there."""
    grown = sums(*NAMES)
    grown._informed |= set(NAMES)
    before = grown._book, grown._packed, grown._identities
    with pytest.raises(error):
        grown.join("b", false)
    assert (grown._book, grown._packed, grown._identities) == before
    assert grown._informed == set(NAMES)
    grown.join("b", announcement("b"))


def test_a_known_key_is_not_replaced() -> None:
    """A second one for a name is refused, whoever signed it."""
    grown = sums(*NAMES)
    with pytest.raises(AggregationRefused):
        grown.join("a", announcement("a", key=X25519PrivateKey.generate()))
