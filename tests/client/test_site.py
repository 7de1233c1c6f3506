"""Who a node is, and what its owner allows."""

from pathlib import Path

import pytest

from client.site import this_site
from shared.config import RunConfig, Scalar
from shared.errors import ConfigurationError, PrivacyError
from shared.task import TaskSettings

CONFIG = RunConfig.from_run_config({"population.size": 3})
SEEDED = RunConfig.from_run_config({"population.size": 3, "seed": 1})
PART: dict[str, Scalar] = {"partition-id": 2, "num-partitions": 3}
OWN: dict[str, Scalar] = {"name": "hospital", "data": "/srv/x", "ledger": "/srv/ledger"}


def test_a_demonstration_node_has_its_part_of_the_pool() -> None:
    """Named by its number; where the data lie is the run's to say."""
    site = this_site(PART, CONFIG)
    assert site.client_id == "site-000002"
    assert site.site.index == 2
    assert site.site.partition is not None
    assert site.site.partition.clients == 3
    settings = TaskSettings(model="m")
    assert site.settings(settings) is settings


def test_a_demonstration_node_may_keep_a_ledger_and_a_key_of_its_own() -> None:
    """As a real site does; only its data are a part of a pool."""
    kept = {"ledger": "/srv/ledger", "identity": "/srv/key", "roster": "/srv/all", "server": "s"}
    site = this_site(PART | kept, CONFIG)
    assert (site.ledger, site.identity) == (Path("/srv/ledger"), Path("/srv/key"))
    assert (site.roster, site.server, site.data_dir) == (Path("/srv/all"), "s", None)


def test_a_real_site_has_a_name_and_a_folder_of_its_own() -> None:
    """All data of the folder are its own; the folder replaces the run's."""
    site = this_site(OWN, CONFIG)
    assert site.client_id == "hospital"
    assert site.site.partition is None
    settings = site.settings(TaskSettings(model="m", data_dir=Path("/elsewhere")))
    assert settings == TaskSettings(model="m", data_dir=Path("/srv/x"))
    assert (site.ledger, site.virtual_ledgers, site.server) == (Path("/srv/ledger"), None, "server")


def test_a_real_site_without_a_ledger_is_refused_unless_its_owner_says_so() -> None:
    """Nothing else at the site keeps a server from asking for ever."""
    bare: dict[str, Scalar] = {"name": "hospital", "data": "/srv/x"}
    for node in (bare, bare | {"ledger": ""}, bare | {"insecure-no-ledger": "true"}):
        with pytest.raises(PrivacyError, match="needs a privacy ledger"):
            this_site(node, CONFIG)
    assert this_site(bare | {"insecure-no-ledger": True}, CONFIG).ledger is None


def test_a_simulated_site_has_its_ledger_among_those_of_the_run() -> None:
    """Where the grid says; none where it says nothing."""
    there = this_site(PART | {"virtual-ledgers": "/runs/x/ledgers"}, CONFIG)
    assert there.virtual_ledgers == Path("/runs/x/ledgers")
    assert this_site(PART, CONFIG).virtual_ledgers is None


@pytest.mark.parametrize(
    "node",
    [
        PART | {"partition-id": 3},
        PART | {"partition-id": -1},
        PART | {"partition-id": "2"},
        PART | {"partition-id": True},
        PART | {"num-partitions": 4},
        {"partition-id": 2},
        PART | {"name": "hospital"},
        PART | {"data": "/srv/x"},
        OWN | {"name": ""},
        OWN | {"data": ""},
        OWN | {"data": 7},
        {"name": "hospital"},
        {"data": "/srv/x"},
        {},
        PART | {"partition_id": 2},
    ],
)
def test_a_node_config_that_does_not_say_who_it_is_is_refused(node: dict[str, Scalar]) -> None:
    """Incomplete, unknown, contradictory, or of another population."""
    with pytest.raises(ConfigurationError, match="partition-id"):
        this_site(node, CONFIG)


@pytest.mark.parametrize(
    "word", [{}, *({"allow-seeded-runs": no} for no in (False, 1, "true", 1.0))]
)
@pytest.mark.parametrize("node", [PART, OWN])
def test_a_seeded_run_needs_the_owners_word(
    node: dict[str, Scalar], word: dict[str, Scalar]
) -> None:
    """Nothing but the value true is a yes: whoever knows the seed knows the noise."""
    asked = node | word
    with pytest.raises(PrivacyError, match="allow-seeded-runs"):
        this_site(asked, SEEDED)
    this_site(node | {"allow-seeded-runs": True}, SEEDED)
    this_site(asked, CONFIG)
