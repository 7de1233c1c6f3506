"""The clients of a simulation by their numbers: the roster that asking all of them gives."""

import pytest

from server.roster import AskedRoster
from simulations.numbered import MOST, Nodes, NumberedRoster

COUNT = 12


def test_it_is_the_roster_of_clients_that_were_asked() -> None:
    """Names, their order, nodes; nobody has a key."""
    asked, known = AskedRoster(), NumberedRoster(COUNT, 1000)
    for number in range(COUNT):
        asked.add(f"site-{number:06d}", 1000 + number, b"")
    assert dict(known.node_ids) == asked.node_ids
    assert tuple(known.places) == asked.places == tuple(known.client_ids) == asked.client_ids
    assert known.places[3:5] == list(asked.places[3:5])
    assert known.announcements == {}
    assert known.guarded == asked.guarded


def test_names_ascend_up_to_the_most_clients_that_it_is_for() -> None:
    """As strings, by which a cohort is ordered."""
    names = NumberedRoster(MOST, 0).places
    assert names[MOST - 2] < names[MOST - 1]
    assert len(names) == MOST


@pytest.mark.parametrize(
    "name", ["site-000012", "site-12", "site-0000001", "other-000001", "site-", "site--00001"]
)
def test_nobody_else_has_a_node(name: str) -> None:
    """A number that is not there, or written otherwise."""
    assert name not in Nodes(COUNT, 1000)
