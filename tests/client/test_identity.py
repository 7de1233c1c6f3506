"""Who a site is, and whom it knows: from files that the server has no hand in."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.identity import ROSTER_FORMAT, membership, read_identity, read_roster
from client.site import ThisSite, this_site
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, StateError

KEYS = {name: Ed25519PrivateKey.generate() for name in ("a", "b", "c")}
CONFIG = RunConfig.from_run_config({"secure_aggregation": "on", "population.size": 3})
PLAN = PrivacyPlan.from_config(CONFIG)


def roster_of(**changed: Any) -> dict[str, Any]:
    """A good one, but for what is changed."""
    clients = {name: key.public_key().public_bytes_raw().hex() for name, key in KEYS.items()}
    return {"format": ROSTER_FORMAT, "clients": clients} | changed


def pem(key: Any) -> bytes:
    """Without a password."""
    content: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return content


def site(folder: Path, name: str = "a", roster: object = None) -> ThisSite:
    """A real site with its files."""
    (folder / "key").write_bytes(pem(KEYS.get(name, KEYS["a"])))
    (folder / "roster").write_text(json.dumps(roster_of() if roster is None else roster))
    node: dict[str, Scalar] = {
        "name": name, "data": str(folder), "insecure-no-ledger": True,
        "identity": str(folder / "key"), "roster": str(folder / "roster"),
    }  # fmt: skip
    return this_site(node, CONFIG)


def test_a_site_is_who_its_roster_says(tmp_path: Path) -> None:
    """Its key and name are in it, and all of the population."""
    found = membership(site(tmp_path), PLAN)
    assert found.client_id == "a"
    assert found.enrolled == {n: k.public_key().public_bytes_raw() for n, k in KEYS.items()}


def test_a_demonstration_derives_both() -> None:
    """Every node the same roster; nothing is kept from anybody."""
    nodes = [{"partition-id": i, "num-partitions": 3, "allow-seeded-runs": True} for i in range(3)]
    found = [membership(this_site(node, CONFIG), PLAN) for node in nodes]
    assert found[0].enrolled == found[2].enrolled
    assert len(found[0].enrolled) == 3


def test_a_site_without_files_or_out_of_place_is_refused(tmp_path: Path) -> None:
    """No identity, no place in the roster, a roster of another population, no such plan."""
    bare = this_site({"name": "a", "data": "x", "insecure-no-ledger": True}, CONFIG)
    with pytest.raises(ConfigurationError, match="identity and roster"):
        membership(bare, PLAN)
    with pytest.raises(ConfigurationError, match="own key"):
        membership(site(tmp_path, "d"), PLAN)
    fewer = roster_of()
    del fewer["clients"]["c"]
    with pytest.raises(ConfigurationError, match="population"):
        membership(site(tmp_path, roster=fewer), PLAN)
    with pytest.raises(ConfigurationError, match="without"):
        membership(site(tmp_path), PrivacyPlan.from_config(RunConfig.from_run_config({})))


@pytest.mark.parametrize(
    "roster",
    [
        [],
        roster_of(format="another"),
        roster_of(clients={}),
        roster_of(clients={"a": "zz"}),
        roster_of(clients={"a": "00"}),
        roster_of(clients={"a": "00" * 32, "b": "00" * 32}),
        roster_of(clients=[1]),
    ],
)
def test_a_roster_that_is_none_is_refused(tmp_path: Path, roster: object) -> None:
    """Two names with one key above all: one client would count for two."""
    (tmp_path / "roster").write_text(json.dumps(roster))
    with pytest.raises(StateError):
        read_roster(tmp_path / "roster")


@pytest.mark.parametrize("content", [b"", b"no key", pem(X25519PrivateKey.generate())])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """Another kind of key too."""
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(StateError):
        read_identity(tmp_path / "key")


def test_helpers_are_of_the_roster(tmp_path: Path) -> None:
    """A plan that names a stranger is not taken part in."""
    wanted = {"secure_aggregation": "on", "population.size": 3}
    for helpers, known in (("a,b,c", True), ("a,b,x", False)):
        config = RunConfig.from_run_config(wanted | {"aggregation.helpers": helpers})
        plan = PrivacyPlan.from_config(config)
        if known:
            assert membership(site(tmp_path), plan).helpers == ("a", "b", "c")
        else:
            with pytest.raises(ConfigurationError, match=r"helpers of the roster, got \['x'\]"):
                membership(site(tmp_path), plan)
