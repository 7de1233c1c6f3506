"""The graph is public, symmetric, of one degree, and nobody chooses a place in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csgraph

from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.parameters import parameters_for
from tests.significance import ALPHA

NAMES = tuple(f"client-{number:03d}" for number in range(100))
SPARSE = parameters_for(100, 100, 0.1, 0.1)


def graph(context: bytes = b"a", count: int = 100) -> RoundGraph:
    """Of the first `count` clients."""
    return round_graph(NAMES[:count], context, parameters_for(count, count, 0.1, 0.1))


def pieces(found: RoundGraph, kept: set[str]) -> int:
    """Connected parts of the graph that `kept` induce, by a library."""
    names = sorted(kept)
    adjacent = [[other in found.neighbours(name) for other in names] for name in names]
    return int(csgraph.connected_components(np.array(adjacent, dtype=np.int8))[0])


@pytest.mark.parametrize("count", [3, 40, 41, 100])
def test_each_masks_with_as_many_and_both_know_it(count: int) -> None:
    """Nobody with himself, nobody twice; a neighbour's neighbour is oneself."""
    found = graph(count=count)
    for client in found.order:
        around = found.neighbours(client)
        assert len(around) == len(set(around)) == found.parameters.degree
        assert client not in around
        assert all(client in found.neighbours(other) for other in around)


@pytest.mark.no_cover
@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=4), st.data())
def test_honest_survivors_are_connected_wherever_a_member_answers(
    context: bytes, data: st.DataObject
) -> None:
    """Whoever the server calls dropped, as long as fewer than `present` in a row are corrupt."""
    found = graph(context)
    start, length = data.draw(st.integers(0, 99)), data.draw(st.integers(0, 60))
    other = data.draw(st.integers(0, 99))
    circle = found.order + found.order
    dropped = {*circle[start : start + length // 2], *circle[other : other + length // 2]}
    survivors = set(NAMES) - dropped
    # The corrupt are the survivors at one edge of the gap: the worst that is allowed.
    corrupt = [client for client in circle[start : start + 60] if client in survivors]
    honest = survivors - set(corrupt[: found.parameters.present - 1])
    if found.connected(survivors):
        assert pieces(found, honest) == 1


def test_a_client_cannot_be_cut_off() -> None:
    """All of one client's neighbours called dropped: refused; and that would have bared it."""
    found = graph()
    victim = found.order[50]
    survivors = set(NAMES) - set(found.neighbours(victim))
    assert pieces(found, survivors) > 1
    assert not found.connected(survivors)
    assert found.connected(set(NAMES))


def test_a_gap_across_the_seam_of_the_circle_is_seen() -> None:
    """Rows wrap around; one survivor fewer than `present` in any row is too few."""
    found = graph()
    span, present = found.parameters.span, found.parameters.present
    for start in (0, 45, 90, 99):
        row = (found.order + found.order)[start : start + span]
        assert found.connected(set(NAMES) - set(row[present:]))
        assert not found.connected(set(NAMES) - set(row[present - 1 :]))


@pytest.mark.no_cover
def test_places_and_committee_are_uniform_over_contexts() -> None:
    """χ² of one client's place, and of who is in the committee; a fixed order is rejected."""
    drawn = [round_graph(NAMES, bytes([i % 256, i // 256]), SPARSE) for i in range(2000)]
    places = np.bincount([found.places[NAMES[7]] for found in drawn], minlength=100)
    assert stats.chisquare(places).pvalue > ALPHA
    members = sum(NAMES[7] in found.committee for found in drawn)
    assert stats.binomtest(members, 2000, SPARSE.committee_size / 100).pvalue > ALPHA
    assert stats.chisquare(np.bincount([7] * 2000, minlength=100)).pvalue < ALPHA


def test_the_same_context_gives_the_same_graph() -> None:
    """And another context another."""
    assert graph(b"a").order == graph(b"a").order != graph(b"b").order
    assert graph(b"a").committee != graph(b"b").committee


@pytest.mark.parametrize("count", [3, 40, 41, 100])
def test_a_neighbours_number_is_its_place_among_the_neighbours(count: int) -> None:
    """Both sides find a share by it."""
    found = graph(count=count)
    for client in found.order:
        around = found.neighbours(client)
        assert [found.number(client, other) for other in around] == list(range(len(around)))


@pytest.mark.parametrize("count", [3, 40, 41, 100])
def test_what_is_undone_is_between_survivors_and_dropped_neighbours(count: int) -> None:
    """All of it, ascending, and nothing between two survivors or two dropped ones."""
    found = graph(count=count)
    survivors = set(NAMES[: count - count // 3])
    expected = {
        survivor: sorted(set(found.neighbours(survivor)) - survivors)
        for survivor in sorted(survivors)
    }
    undone = found.undone(survivors)
    assert undone == expected
    assert list(undone) == sorted(survivors)


def test_members_below_the_threshold_derive_their_shares() -> None:
    """The others are sent theirs; together they are the committee."""
    found = graph()
    assert len(found.derived) == found.parameters.threshold - 1
    assert found.derived + found.sealed == found.committee


def test_helpers_are_the_committee_and_all_must_answer() -> None:
    """Those of the plan, whatever the context."""
    helped = parameters_for(100, 100, 0.1, 0.1, 3)
    found = round_graph(NAMES, b"a", helped, NAMES[4:7])
    assert found.committee == NAMES[4:7]
    assert (helped.helped, helped.threshold, helped.committee_size, helped.degree) == (
        True,
        3,
        3,
        3,
    )
    assert not SPARSE.helped
