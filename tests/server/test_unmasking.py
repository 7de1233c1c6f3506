"""The unmasked sum is the sum, exactly, whoever is lost; and what is wrong is left out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from client.masking import Masked
from server.unmasking import Collecting, Unmasking
from shared.errors import ProtocolError, TooFewSurvivors
from shared.secagg.exchange import MaskedUpdate
from shared.secagg.parameters import parameters_for
from shared.secagg.ring import BITS, Integers, from_ring, to_ring, unpack
from tests.aggregation_rounds import Clients, answered, clients, vectors
from tests.significance import ALPHA

SEVEN = clients(7, fractions=(0.15, 0.3))
HUNDRED = clients(60)


def total(found: dict[str, Integers], names: list[str]) -> Integers:
    """In plain whole numbers."""
    summed: Integers = np.stack([found[name] for name in names]).sum(axis=0)
    return summed


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_unmasked_sum_is_the_sum_for_every_loss(data: st.DataObject) -> None:
    """Up to two of seven uploads and two of seven answers lost, in every ring, at any round."""
    bits = data.draw(st.sampled_from(BITS))
    lost = st.lists(st.sampled_from(SEVEN.names), max_size=2, unique=True)
    dropped, silent = data.draw(lost), data.draw(lost)
    context = SEVEN.context(bits=bits, round_number=data.draw(st.integers(1, 9)))
    found = vectors(SEVEN.names, data.draw(st.integers(0, 20)))
    masked = SEVEN.masked(context, found)
    server = SEVEN.collected(context, masked, dropped)
    answered(server, masked, silent)
    kept = [name for name in SEVEN.names if name not in dropped]
    assert np.array_equal(server.finish(), total(found, kept))


@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_graph_gives_the_same_sum(seed: int) -> None:
    """Sixty clients, each masked with some of them, six lost at each stage."""
    generator = np.random.default_rng(seed)
    context = HUNDRED.context(round_number=seed + 1)
    found = vectors(HUNDRED.names, 11, seed)
    masked = HUNDRED.masked(context, found)
    dropped = generator.choice(HUNDRED.names, 6, replace=False).tolist()
    server = HUNDRED.collected(context, masked, dropped)
    assert not server.collected.graph.parameters.complete
    answered(server, masked, generator.choice(HUNDRED.names, 6, replace=False).tolist())
    kept = [name for name in HUNDRED.names if name not in dropped]
    assert np.array_equal(server.finish(), total(found, kept))


HELPED = clients(7, fractions=(0.15, 0.3), helpers=3)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_helpers_unmask_the_same_sum(data: st.DataObject) -> None:
    """Whoever else is lost, in every ring; each tells one sum of masks, and nothing is shared."""
    bits, length = data.draw(st.sampled_from(BITS)), data.draw(st.integers(1, 20))
    others = [name for name in HELPED.names if name not in HELPED.helpers]
    dropped = data.draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
    context = HELPED.context(bits=bits, round_number=data.draw(st.integers(1, 9)))
    found = vectors(HELPED.names, length)
    masked = HELPED.masked(context, found)
    assert not any(stage.upload.ciphertexts for stage in masked.values())
    server = HELPED.collected(context, masked, dropped)
    answered(server, masked)
    kept = [name for name in HELPED.names if name not in dropped]
    assert np.array_equal(server.finish(), total(found, kept))


def test_without_one_helper_there_is_no_sum() -> None:
    """What two of three tell leaves every vector under the third's masks."""
    context = HELPED.context(bits=32)
    masked = HELPED.masked(context, dict.fromkeys(HELPED.names, np.zeros(50_000, dtype=np.int64)))
    server = HELPED.collected(context, masked)
    answered(server, masked, silent=HELPED.helpers[2:])
    with pytest.raises(TooFewSurvivors, match="3 answers, got 2"):
        server.finish()
    left = server.collected.total.copy()
    for answer in server.answers.values():
        left -= unpack(answer.masks, 50_000, 32)
    counts = np.bincount(left.view(np.uint8), minlength=256)
    assert stats.chisquare(counts).pvalue > ALPHA
    # The test sees what is no mask: of a sum that is unmasked nothing is left.
    server.add(masked[HELPED.helpers[2]].unmask(server.request(HELPED.helpers[2]))[1])
    assert not server.finish().any()


def test_what_a_helper_tells_is_a_sum_of_masks_and_nothing_else() -> None:
    """Another length, or shares beside it, is left out."""
    context = HELPED.context()
    masked = HELPED.masked(context, vectors(HELPED.names, 3))
    server = HELPED.collected(context, masked)
    _, answer = masked[HELPED.helpers[0]].unmask(server.request(HELPED.helpers[0]))
    for bad in (
        replace(answer, masks=answer.masks[1:]),
        replace(answer, masks=answer.masks[:-1] + b"\xff"),  # bits beyond the last number
        replace(answer, own=bytes(32)),
        replace(answer, pairs=bytes(32)),
        replace(answer, unopened=HELPED.names[:1]),
    ):
        with pytest.raises(ProtocolError, match="asked for"):
            server.add(bad)


def test_a_sum_wraps_at_the_ring_and_nowhere_else() -> None:
    """At its last number it is right; one more is the lowest of the ring."""
    for bits in BITS:
        edge = 2 ** (bits - 1) - 1
        for over in (0, 1):
            context = SEVEN.context(bits=bits, round_number=over + 1)
            found = {name: np.zeros(1, dtype=np.int64) for name in SEVEN.names}
            found[SEVEN.names[0]][0], found[SEVEN.names[1]][0] = edge, over
            masked = SEVEN.masked(context, found)
            server = SEVEN.collected(context, masked)
            answered(server, masked)
            assert server.finish().tolist() == [edge if not over else -edge - 1]


def test_the_order_of_arrival_does_not_matter() -> None:
    """Of uploads and of answers."""
    context = SEVEN.context()
    found = vectors(SEVEN.names, 5)
    masked = SEVEN.masked(context, found)
    backwards = dict(reversed(masked.items()))
    sums = []
    for order in (masked, backwards):
        server = SEVEN.collected(context, order)
        for member in order:
            server.add(order[member].unmask(server.request(member))[1])
        sums.append(server.finish().tolist())
    assert sums[0] == sums[1] == total(found, list(SEVEN.names)).tolist()


def test_before_the_answers_the_server_holds_nothing_of_anybody() -> None:
    """The same vector masked twice has no word in common but by chance, and no pattern."""
    zeros = {name: np.zeros(50_000, dtype=np.int64) for name in SEVEN.names}
    first = SEVEN.masked(SEVEN.context(bits=32), zeros)
    second = SEVEN.masked(SEVEN.context(bits=32, attempt=2), zeros)
    for name in SEVEN.names:
        one, other = (unpack(stage[name].masked, 50_000, 32) for stage in (first, second))
        assert (one == other).sum() <= 1
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    words = [unpack(stage.masked, 50_000, 32) for stage in first.values()]
    summed = np.stack([from_ring(word, 32) for word in words]).sum(axis=0)
    assert np.abs(from_ring(to_ring(summed, 32), 32)).min() > 0


def collecting(group: Clients = SEVEN) -> tuple[Collecting, dict[str, MaskedUpdate]]:
    """A server that waits, and what comes."""
    context = group.context()
    masked = group.masked(context, vectors(group.names, 3))
    parameters = parameters_for(len(group.names), len(group.enrolled), *group.fractions)
    server = Collecting.of(context, 3, group.enrolled, parameters)
    return server, {name: stage.upload for name, stage in masked.items()}


def test_an_upload_counts_once() -> None:
    """The same again changes nothing; another of the same client is refused."""
    server, uploads = collecting()
    one = uploads[SEVEN.names[0]]
    server.add(one)
    before = server.total.copy()
    server.add(one)
    assert np.array_equal(server.total, before)
    _, others = collecting()
    with pytest.raises(ProtocolError, match="one upload"):
        server.add(others[SEVEN.names[0]])
    assert np.array_equal(server.total, before)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("bad_client", "of the cohort"),
        ("bad_length", "bytes of"),
        ("bad_member", "each member"),
        ("bad_seal", "each member"),
        ("bad_commitments", "each seed"),
        ("bad_vector", "signed for"),
        ("bad_ciphertext", "signed for"),
        ("bad_commitment", "signed for"),
        ("bad_signature", "signed by"),
    ],
)
def test_an_upload_that_is_wrong_is_left_out(bad: str, why: str) -> None:
    """Each in one place; nothing is added."""
    server, uploads = collecting()
    name, other = SEVEN.names[0], server.graph.sealed[0]
    one = uploads[name]
    changed = {
        "bad_client": replace(one, header=replace(one.header, client_id="nobody")),
        "bad_length": replace(one, masked=one.masked[:2]),
        "bad_member": replace(one, ciphertexts={other: one.ciphertexts[other]}),
        "bad_seal": replace(one, ciphertexts={**one.ciphertexts, other: b"x"}),
        "bad_commitments": replace(one, commitments=one.commitments[32:]),
        "bad_commitment": replace(one, commitments=bytes(len(one.commitments))),
        "bad_vector": replace(one, masked=bytes([one.masked[0] ^ 1]) + one.masked[1:]),
        "bad_ciphertext": replace(
            one, ciphertexts={**one.ciphertexts, other: bytes(len(one.ciphertexts[other]))}
        ),
        "bad_signature": replace(one, header=replace(one.header, signature=bytes(64))),
    }[bad]
    with pytest.raises(ProtocolError, match=why):
        server.add(changed)
    assert not server.total.any()
    assert not server.headers


def test_too_few_uploads_are_no_round() -> None:
    """Four of seven where five are needed."""
    server, uploads = collecting()
    for name in SEVEN.names[:4]:
        server.add(uploads[name])
    with pytest.raises(TooFewSurvivors, match="5 uploads, got 4"):
        server.close()


def test_a_gap_in_the_circle_is_no_round() -> None:
    """No honest member would answer."""
    context = HUNDRED.context(round_number=9)
    masked = HUNDRED.masked(context, vectors(HUNDRED.names, 1))
    # More than a row may lose, yet no more than a round: with a stricter rule it is refused.
    server = Collecting.of(
        context, 1, HUNDRED.enrolled, replace(parameters_for(60, 60, 0.1, 0.1), present=19)
    )
    dropped = server.graph.order[:6]
    for name, stage in masked.items():
        if name not in dropped:
            server.add(stage.upload)
    assert server.graph.parameters.span - 6 < 19
    with pytest.raises(TooFewSurvivors, match="gap"):
        server.close()


def unmasking() -> tuple[Unmasking, dict[str, Masked]]:
    """A server that asks its committee."""
    context = SEVEN.context()
    masked = SEVEN.masked(context, vectors(SEVEN.names, 3))
    return SEVEN.collected(context, masked), masked


def test_fewer_answers_than_the_threshold_give_nothing() -> None:
    """One too few is refused, by count."""
    server, masked = unmasking()
    needed = server.collected.graph.parameters.threshold
    for member in SEVEN.names[: needed - 1]:
        server.add(masked[member].unmask(server.request(member))[1])
    assert not server.complete
    with pytest.raises(TooFewSurvivors, match=f"{needed} answers, got {needed - 1}"):
        server.finish()


def test_an_answer_that_is_wrong_is_left_out() -> None:
    """Of nobody, twice, of another context, of others' shares, and with a share that is none.

    The sum is then formed without that member.
    """
    server, masked = unmasking()
    member = server.collected.graph.committee[0]
    _, answer = masked[member].unmask(server.request(member))
    for bad in (
        replace(answer, member="nobody"),
        replace(answer, context=b"another"),
        replace(answer, own=b""),
        replace(answer, own=answer.own[32:]),
        replace(answer, pairs=bytes(32)),
        replace(answer, masks=bytes(32)),
        replace(answer, unopened=("stranger",), own=answer.own[32:]),
        replace(answer, unopened=(SEVEN.names[1], SEVEN.names[1]), own=answer.own[64:]),
        replace(answer, own=b"\xff" * len(answer.own)),
        replace(answer, own=b"short"),
    ):
        with pytest.raises(ProtocolError):
            server.add(bad)
    server.add(answer)
    with pytest.raises(ProtocolError, match="one answer"):
        server.add(answer)
