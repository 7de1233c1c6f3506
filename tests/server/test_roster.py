"""A client's place in the population is its own for the whole run."""

from server.roster import AskedRoster


def test_names_are_in_order_and_places_in_the_order_of_joining() -> None:
    """Draws are by place, sums by name."""
    roster = AskedRoster()
    for node, client in enumerate(("b", "c", "a")):
        roster.add(client, node, b"key of " + client.encode())
    assert roster.client_ids == ("a", "b", "c")
    assert roster.places == ("b", "c", "a")
    assert roster.announcements["a"] == b"key of a"


def test_a_client_on_another_node_keeps_its_place() -> None:
    """Nobody's place changes."""
    roster = AskedRoster()
    for node, client in ((1, "b"), (2, "a"), (3, "b")):
        roster.add(client, node, b"")
    assert roster.places == ("b", "a")
    assert roster.node_ids == {"b": 3, "a": 2}
