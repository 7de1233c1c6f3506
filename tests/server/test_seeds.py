"""False shares are found out: the sum is right or there is none, and who did it is named."""

import logging
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from client.masking import Masked
from client.seeds import Attempt
from server.unmasking import Unmasking
from shared.errors import SpoiledSum
from shared.secagg import shamir
from shared.secagg.exchange import UnmaskAnswer
from shared.secagg.ring import Integers
from shared.secagg.shamir import PRIME
from tests.aggregation_rounds import Clients, clients, vectors

# Of nine with one corrupt: six shares give a seed back, three may be false or missing.
NINE = clients(9, fractions=(0.12, 0.3))
SIXTY = clients(60)


def collected(group: Clients, lost: Collection[str] = ()) -> tuple[Unmasking, dict[str, Masked]]:
    """A server that asks its committee, and who can answer."""
    context = group.context()
    masked = group.masked(context, vectors(group.names, 3))
    return group.collected(context, masked, lost), masked


def expected(group: Clients, lost: Collection[str] = ()) -> Integers:
    """In plain whole numbers."""
    found = vectors(group.names, 3)
    summed: Integers = np.sum([found[name] for name in group.names if name not in lost], axis=0)
    return summed


def falsified(content: bytes) -> bytes:
    """Other shares of the field."""
    rows = [int.from_bytes(content[at : at + 32], "big") for at in range(0, len(content), 32)]
    return b"".join(((row + 1) % PRIME).to_bytes(32, "big") for row in rows)


def answer_of(server: Unmasking, masked: dict[str, Masked], member: str) -> UnmaskAnswer:
    """What a member tells."""
    return masked[member].unmask(server.request(member))[1]


@pytest.mark.parametrize("place", [0, 4, 8])
def test_a_member_that_tells_false_shares_is_named_and_the_sum_is_right(
    caplog: pytest.LogCaptureFixture, place: int
) -> None:
    """Whether its shares are derived or sealed, once one answer more than the threshold is in."""
    lost = NINE.names[:1]
    server, masked = collected(NINE, lost)
    committee = server.collected.graph.committee
    liar = committee[place]
    for member in sorted(committee, key=lambda name: name != liar):
        answer = answer_of(server, masked, member)
        if member == liar:
            answer = replace(answer, own=falsified(answer.own), pairs=falsified(answer.pairs))
        server.add(answer)
        if len(server.answers) == server.collected.graph.parameters.threshold:
            with pytest.raises(SpoiledSum) as caught:
                server.finish()
            assert caught.value.guilty == ()  # nobody can say who it was
    with caplog.at_level(logging.WARNING, "murmura.server"):
        assert np.array_equal(server.finish(), expected(NINE, lost))
    named = {record.args[1] for record in caplog.records if isinstance(record.args, tuple)}
    assert named <= {liar}


def test_a_false_share_beyond_those_used_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A member that tells one false share, of one survivor's own seed."""
    server, masked = collected(NINE)
    committee = server.collected.graph.committee
    for member in committee:
        answer = answer_of(server, masked, member)
        if member == committee[0]:
            answer = replace(answer, own=falsified(answer.own[:32]) + answer.own[32:])
        server.add(answer)
    with caplog.at_level(logging.WARNING, "murmura.server"):
        assert np.array_equal(server.finish(), expected(NINE))
    assert f"a share of {NINE.names[0]} that {committee[0]} told" in caplog.text


@pytest.mark.parametrize("group", [NINE, SIXTY], ids=["nine", "sixty"])
def test_a_client_that_seals_false_shares_is_named(
    monkeypatch: pytest.MonkeyPatch, group: Clients
) -> None:
    """Its commitments are right, what it sealed is on no polynomial: the round is void, by name."""
    cheat = group.names[2]
    true = shamir.completed

    def false(self: Attempt, own: bytes) -> tuple[bytes, dict[str, bytes]]:
        scale = falsified if self.client_id == cheat else bytes
        monkeypatch.setattr(
            "client.seeds.completed",
            lambda values, given, holders: [scale(share) for share in true(values, given, holders)],
        )
        return shared(self, own)

    shared = Attempt.shared
    monkeypatch.setattr(Attempt, "shared", false)
    server, masked = collected(group)
    for member in server.collected.graph.committee:
        server.add(answer_of(server, masked, member))
    with pytest.raises(SpoiledSum, match=cheat) as caught:
        server.finish()
    assert caught.value.guilty == (cheat,)


def test_a_client_whose_shares_nobody_can_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sealed nothing for anybody; all members tell the others' shares, and say so of it."""
    cheat = NINE.names[2]
    true = Attempt.shared

    def nothing(self: Attempt, own: bytes) -> tuple[bytes, dict[str, bytes]]:
        commitments, sealed = true(self, own)
        return commitments, {
            name: bytes(len(content)) for name, content in sealed.items()
        } if self.client_id == cheat else sealed

    monkeypatch.setattr(Attempt, "shared", nothing)
    server, masked = collected(NINE)
    for member in server.collected.graph.committee:
        server.add(answer_of(server, masked, member))
    with pytest.raises(SpoiledSum) as caught:
        server.finish()
    assert caught.value.guilty == (cheat,)


def test_one_member_that_reads_nothing_costs_nothing() -> None:
    """It says so of everybody; the others' shares are enough."""
    server, masked = collected(NINE)
    member = server.collected.graph.sealed[0]
    blind = replace(server.request(member), ciphertexts={})
    for name in server.collected.graph.committee:
        request = blind if name == member else server.request(name)
        server.add(masked[name].unmask(request)[1])
    assert server.answers[member].unopened == NINE.names
    assert np.array_equal(server.finish(), expected(NINE))


def test_members_that_each_miss_another_client_still_give_the_sum() -> None:
    """No set of members has read everybody's shares, and each client's can be put together."""
    server, masked = collected(NINE)
    graph = server.collected.graph
    for number, member in enumerate(graph.committee):
        answer = answer_of(server, masked, member)
        missed = NINE.names[number]
        own = answer.own[: 32 * number] + answer.own[32 * (number + 1) :]
        server.add(replace(answer, unopened=(missed,), own=own))
    assert np.array_equal(server.finish(), expected(NINE))


def test_an_early_member_that_lies_in_a_large_committee_is_passed_by() -> None:
    """Too many choices to try them all: a hundred are tried."""
    lost = SIXTY.names[:3]
    server, masked = collected(SIXTY, lost)
    committee = server.collected.graph.committee
    for member in committee:
        answer = answer_of(server, masked, member)
        if member == committee[0]:
            answer = replace(answer, own=falsified(answer.own))
        server.add(answer)
    assert np.array_equal(server.finish(), expected(SIXTY, lost))
