"""A hostile server is refused by name, and whatever it scripts, no update can be unmasked."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from client.masking import Masked, Ready
from server.unmasking import Unmasking
from shared.errors import AggregationRefused
from shared.secagg.exchange import RoundContext, UnmaskAnswer, UnmaskRequest
from shared.secagg.keys import helper_seed, sealed
from shared.secagg.parameters import parameters_for
from shared.secagg.refusal import Refusal
from shared.secagg.ring import unpack
from tests.aggregation_rounds import Clients, answered, clients, vectors

SEVEN = clients(7, fractions=(0.15, 0.3))
SIXTY = clients(60)
HELPED = clients(7, fractions=(0.15, 0.3), helpers=3)
ONE, TWO = SEVEN.names[:2]
VECTOR = np.arange(4)
SCRIPTS = 200


def refused(work: Callable[[], object], reason: Refusal) -> None:
    """Raises, and says which check it was."""
    with pytest.raises(AggregationRefused) as caught:
        work()
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"run_id": "another"}, Refusal.RUN_CHANGED),
        ({"plan": "another"}, Refusal.PLAN_CHANGED),
        ({"roster": b"another"}, Refusal.ROSTER_CHANGED),
        ({"round_number": 0}, Refusal.ROUND_WENT_BACK),
        ({"attempt": 0}, Refusal.ATTEMPT_REUSED),
        ({"cohort": (ONE,)}, Refusal.COHORT_TOO_SMALL),
        ({"cohort": (ONE, TWO)}, Refusal.COHORT_TOO_SMALL),
        ({"cohort": (ONE, TWO, TWO)}, Refusal.COHORT_MALFORMED),
        ({"cohort": SEVEN.names[::-1]}, Refusal.COHORT_MALFORMED),
        ({"cohort": (*SEVEN.names, "stranger")}, Refusal.COHORT_MALFORMED),
        ({"cohort": SEVEN.names[1:]}, Refusal.NOT_IN_COHORT),
    ],
)
def test_a_context_that_is_not_this_runs_is_refused(
    changed: dict[str, Any], reason: Refusal
) -> None:
    """Before a mask is made."""
    context = SEVEN.context(**changed)
    refused(lambda: SEVEN.ready[ONE].mask(context, VECTOR), reason)


def test_a_cohort_that_may_be_one_client_among_the_corrupt_is_refused() -> None:
    """Of sixty with six corrupt, the server asks one honest client and those that are its own."""
    for size in (3, 6, 7):
        context = SIXTY.context(SIXTY.names[:size])
        refused(
            partial(SIXTY.ready[SIXTY.names[0]].mask, context, VECTOR), Refusal.COHORT_TOO_SMALL
        )
    # Neither does a key book of three make the roster smaller.
    small = SIXTY.ready[SIXTY.names[0]].announced.admit(SIXTY.keys[:3])
    context = SIXTY.context(SIXTY.names[:3], roster=small.book.digest)
    refused(partial(small.mask, context, VECTOR), Refusal.COHORT_TOO_SMALL)


def masked_once(**changed: Any) -> Masked:
    """Client one after round 3, attempt 2."""
    return SEVEN.ready[ONE].mask(SEVEN.context(round_number=3, attempt=2, **changed), VECTOR)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model": b"another"}, Refusal.ATTEMPT_REUSED),
        ({"cohort": SEVEN.names[:6]}, Refusal.ATTEMPT_REUSED),
        ({"bits": 32}, Refusal.ATTEMPT_REUSED),
        ({"attempt": 1}, Refusal.ATTEMPT_REUSED),
        ({"round_number": 2}, Refusal.ROUND_WENT_BACK),
        ({"round_number": 2, "attempt": 9}, Refusal.ROUND_WENT_BACK),
    ],
)
def test_an_attempt_is_masked_once(changed: dict[str, Any], reason: Refusal) -> None:
    """Nor a round before it; the very same context gives the very same bytes."""
    stage = masked_once()
    again = SEVEN.context(**{"round_number": 3, "attempt": 2} | changed)
    refused(lambda: stage.mask(again, VECTOR), reason)
    refused(lambda: stage.ready.mask(again, VECTOR), reason)
    assert stage.mask(SEVEN.context(round_number=3, attempt=2), VECTOR + 1) is stage


def test_another_attempt_draws_everything_anew() -> None:
    """Its mask, its shares and their seals have nothing in common with those before."""
    stage = masked_once(bits=32)
    later = stage.mask(SEVEN.context(round_number=3, attempt=3, bits=32), VECTOR)
    words = [unpack(found.masked, len(VECTOR), 32) for found in (later, stage)]
    assert not (words[0] == words[1]).any()
    assert later.upload.commitments != stage.upload.commitments
    one, other = (set(found.upload.ciphertexts.values()) for found in (later, stage))
    assert not one & other


def round_of(group: Clients = SEVEN, **changed: Any) -> tuple[Unmasking, dict[str, Masked]]:
    """All masked, the server ready to ask."""
    context = group.context(**changed)
    masked = group.masked(context, vectors(group.names, 3))
    return group.collected(context, masked), masked


def without(request: UnmaskRequest, *lost: str) -> UnmaskRequest:
    """The request with fewer survivors."""
    kept = tuple(header for header in request.headers if header.client_id not in lost)
    return replace(request, headers=kept)


def test_a_request_that_would_bare_somebody_is_refused() -> None:
    """Each check by its name; after all of them the honest request is still answered."""
    server, masked = round_of()
    stage, honest = masked[ONE], server.request(ONE)
    other_round, others = round_of(round_number=2)
    foreign = other_round.request(ONE)
    forged = replace(honest.headers[1], masked=bytes(32))
    stranger = replace(honest.headers[1], client_id="stranger")
    for request, reason in (
        (foreign, Refusal.CONTEXT_CHANGED),
        (replace(honest, headers=(*honest.headers, honest.headers[0])), Refusal.SURVIVOR_TWICE),
        (replace(honest, headers=(*honest.headers, stranger)), Refusal.SURVIVOR_NOT_IN_COHORT),
        (without(honest, *SEVEN.names[4:]), Refusal.TOO_FEW_SURVIVORS),
        (without(honest, *SEVEN.names), Refusal.TOO_FEW_SURVIVORS),
        (replace(honest, headers=(forged, *honest.headers[2:])), Refusal.FOREIGN_SIGNATURE),
        # Who never uploaded in this round has signed no header of it.
        (
            replace(honest, headers=(foreign.headers[0], *honest.headers[1:])),
            Refusal.FOREIGN_SIGNATURE,
        ),
    ):
        refused(partial(stage.unmask, request), reason)
    assert others[ONE].context != stage.context
    assert stage.unmask(honest)[1].member == ONE


def test_of_shares_that_were_sealed_for_something_else_nothing_is_told() -> None:
    """Of another round, member or length, or none at all: named, and everybody else's are told."""
    server, masked = round_of()
    member, other = server.collected.graph.sealed[:2]
    stage, honest = masked[member], server.request(member)
    full = stage.unmask(honest)[1]
    assert (full.unopened, len(full.own)) == ((), 32 * len(SEVEN.names))
    stale = next(iter(round_of(round_number=2)[0].collected.ciphertexts[TWO].values()))
    short = sealed(masked[TWO].ready.secret(member), honest.context, TWO, member, bytes(32))
    for bad in (
        stale, server.request(other).ciphertexts[TWO], short, b"", b"x" * 272
    ):  # fmt: skip
        request = replace(honest, ciphertexts={**honest.ciphertexts, TWO: bad})
        found = stage.unmask(request)[1]
        place = 32 * SEVEN.names.index(TWO)
        assert found.unopened == (TWO,)
        assert found.own == full.own[:place] + full.own[place + 32 :]
    # Members that derive their shares need none, and look at none.
    member = server.collected.graph.derived[0]
    asked = replace(server.request(member), ciphertexts=honest.ciphertexts)
    assert masked[member].unmask(asked) == masked[member].unmask(server.request(member))


def test_a_member_answers_once() -> None:
    """The next stage has no answer in it, and does not take the attempt again."""
    server, masked = round_of()
    after, _ = masked[ONE].unmask(server.request(ONE))
    assert isinstance(after, Ready)
    assert not hasattr(after, "unmask")
    refused(lambda: after.mask(masked[ONE].context, VECTOR), Refusal.ATTEMPT_REUSED)


def test_who_is_not_of_the_committee_says_nothing() -> None:
    """A committee that the server would rather have is asked in vain."""
    server, masked = round_of(SIXTY)
    committee = server.collected.graph.committee
    outsider = next(name for name in SIXTY.names if name not in committee)
    request = replace(server.request(committee[0]))
    refused(lambda: masked[outsider].unmask(request), Refusal.NOT_IN_COMMITTEE)


def test_helpers_that_the_server_would_rather_have_are_asked_in_vain() -> None:
    """The plan names them: all must be asked to train, and no other tells masks; each once."""
    context = HELPED.context(HELPED.names[1:])
    refused(lambda: HELPED.ready[HELPED.names[3]].mask(context, VECTOR), Refusal.HELPER_MISSING)
    server, masked = round_of(HELPED)
    request = server.request(HELPED.helpers[0])
    refused(lambda: masked[HELPED.names[3]].unmask(request), Refusal.NOT_IN_COMMITTEE)
    few = without(request, *HELPED.names[4:])
    refused(lambda: masked[HELPED.helpers[0]].unmask(few), Refusal.TOO_FEW_SURVIVORS)
    after, _ = masked[HELPED.helpers[0]].unmask(request)
    assert not hasattr(after, "unmask")


def test_a_helper_and_its_client_do_not_use_one_seed_twice() -> None:
    """Two helpers mask for one another: with different keys, which other attempts do not have."""
    one, two = HELPED.helpers[:2]
    seeds = {
        helper_seed(HELPED.ready[one].secret(two), context, *names)
        for context in (b"a", b"b")
        for names in ((one, two), (two, one))
    }
    assert len(seeds) == 4


def test_a_client_whose_neighbours_are_all_called_dropped_stays_hidden() -> None:
    """With more allowed losses than a row can bear, the circle is looked at."""
    server, masked = round_of(SIXTY)
    graph = server.collected.graph
    row = graph.order[: graph.parameters.span]
    lenient = replace(graph, parameters=replace(graph.parameters, survivors=1))
    member = graph.committee[0]
    stage = replace(masked[member], graph=lenient)
    request = without(server.request(member), *row)
    refused(lambda: stage.unmask(request), Refusal.SURVIVORS_ISOLATED)


def test_a_swapped_roster_or_a_missing_key_of_ones_own_is_refused() -> None:
    """The server leaves this client's key out, or changes one after the setup."""
    stage = SEVEN.ready[ONE]
    refused(lambda: stage.announced.admit(SEVEN.keys[1:]), Refusal.OWN_KEY_MISSING)
    refused(lambda: stage.grow(SEVEN.keys[1:]), Refusal.ROSTER_CHANGED)
    assert stage.grow(SEVEN.keys).book == stage.book
    other = clients(7, run_id="another", fractions=(0.15, 0.3))
    refused(lambda: stage.grow(other.keys), Refusal.FOREIGN_SIGNATURE)


@dataclass(frozen=True)
class Told:
    """What one answer told of whom."""

    member: str
    own: frozenset[str]
    pairs: frozenset[tuple[str, str]]


def told(server: Unmasking, request: UnmaskRequest, answer: UnmaskAnswer) -> Told:
    """By the survivors that were asked for, but for those whose shares were not read."""
    survivors = {header.client_id for header in request.headers}
    undone = server.collected.graph.undone(survivors)
    own = frozenset(survivors - set(answer.unopened))
    pairs = frozenset((name, other) for name in own for other in undone[name])
    assert (len(answer.own), len(answer.pairs)) == (32 * len(own), 32 * len(pairs))
    return Told(answer.member, own, pairs)


def scripted(number: int) -> tuple[Unmasking, list[Told], str, set[str]]:
    """One hostile script: members are asked for different sets, and for malformed ones.

    Returns:
        The server, what it was told, the corrupt client, and why it was refused.
    """
    dice = random.Random(number)  # noqa: S311 - a script, no secret
    server, masked = round_of(round_number=number + 1)
    stale, _ = round_of(round_number=number + 300)
    corrupt, *lost = dice.sample(SEVEN.names, 4)
    answers, reasons = list[Told](), set[str]()
    stages: dict[str, Masked | Ready] = dict(masked)
    for _ in range(60):
        member = dice.choice(SEVEN.names)
        request = without(server.request(member), *lost[: dice.choice((0, 1, 1, 3, 3, 3))])
        if dice.random() < 0.3:
            request = hostile(dice, request, stale.request(member))
        stage = stages[member]
        if member == corrupt or not isinstance(stage, Masked):
            continue
        try:
            stages[member], answer = stage.unmask(request)
        except AggregationRefused as refusal:
            reasons.add(refusal.reason)
        else:
            answers.append(told(server, request, answer))
    return server, answers, corrupt, reasons


def hostile(dice: random.Random, request: UnmaskRequest, stale: UnmaskRequest) -> UnmaskRequest:
    """The request with one thing wrong."""
    headers = list(request.headers)
    headers[0] = replace(headers[0], client_id=dice.choice((*SEVEN.names, "stranger")))
    return dice.choice(
        [
            stale,
            replace(request, headers=tuple(headers)),
            replace(request, headers=(*request.headers, request.headers[0])),
            replace(request, headers=(stale.headers[0], *request.headers[1:])),
            replace(request, ciphertexts=stale.ciphertexts),
            replace(request, context=stale.context),
        ]
    )


def bared(server: Unmasking, answers: list[Told], corrupt: str) -> list[str]:
    """Honest clients of whose masks nothing but pairs with the corrupt one is left."""
    needed = server.collected.graph.parameters.threshold - 1  # the corrupt member knows its shares
    own = Counter(name for answer in answers for name in answer.own)
    pairs = Counter(frozenset(pair) for answer in answers for pair in answer.pairs)
    honest = [name for name in SEVEN.names if name != corrupt]
    hidden: dict[str, set[str]] = {name: {name} for name in honest}
    for one, other in combinations(honest, 2):
        if pairs[frozenset((one, other))] < needed:
            merged = hidden[one] | hidden[other]
            for name in merged:
                hidden[name] = merged
    return [name for name in honest if len(hidden[name]) < 4 and own[name] >= needed]


def sums(answers: list[Told], threshold: int) -> list[frozenset[str]]:
    """Sets of survivors for which the server, with the corrupt member, has enough answers."""
    asked = {(answer.own, answer.member) for answer in answers}
    counted = Counter(survivors for survivors, _ in asked)
    return [survivors for survivors, count in counted.items() if count + 1 >= threshold]


@pytest.mark.no_cover
def test_no_script_of_a_hostile_server_bares_anybody() -> None:
    """200 of them, with one corrupt member: every refusal named, one sum at most, of enough."""
    named, reached = set[str](), 0
    for number in range(SCRIPTS):
        server, answers, corrupt, reasons = scripted(number)
        needed = server.collected.graph.parameters
        found = sums(answers, needed.threshold)
        assert bared(server, answers, corrupt) == []
        assert len(found) <= 1
        assert all(len(survivors) >= needed.survivors for survivors in found)
        named |= reasons
        reached += len(found)
    assert named <= set(Refusal)
    assert len(named) >= 5
    assert reached > 0


def test_the_scripts_see_a_member_that_answers_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: each keeps its stage. The server then has two sums, whose difference is one's."""
    true = Masked.unmask

    def again(self: Masked, request: UnmaskRequest) -> tuple[Masked, UnmaskAnswer]:
        return self, true(self, request)[1]

    monkeypatch.setattr(Masked, "unmask", again)
    two = [sums(scripted(number)[1], 5) for number in range(20)]
    assert any(len(found) > 1 for found in two)


def test_the_scripts_see_a_member_that_unmasks_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the number of survivors is not looked at. A sum of four of seven is reached."""
    true = parameters_for(len(SEVEN.names), len(SEVEN.enrolled), *SEVEN.fractions)
    lenient = replace(true, survivors=1)
    monkeypatch.setattr("client.masking.parameters_for", lambda *_: lenient)
    reached = [sums(scripted(number)[1], 5) for number in range(40)]
    assert any(len(survivors) < true.survivors for found in reached for survivors in found)


def test_nothing_secret_is_printed() -> None:
    """Of no stage and no message."""
    server, masked = round_of()
    stage = masked[ONE]
    answered(server, masked)
    texts = [repr(stage), repr(stage.ready), repr(stage.upload), repr(server)]
    secrets = [*stage.ready.pair_secrets.values(), *stage.upload.ciphertexts.values()]
    for text in texts:
        assert "X25519PrivateKey object" not in text
        for secret in secrets:
            assert repr(secret)[2:-1] not in text


def test_contexts_differ_in_everything() -> None:
    """Each field moves the digest that all is bound to."""
    first = SEVEN.context()
    changes: dict[str, Any] = {
        "run_id": "x",
        "plan": "x",
        "roster": b"x",
        "model": b"x",
        "kind": "x",
        "round_number": 2,
        "attempt": 2,
        "cohort": SEVEN.names[:5],
        "bits": 16,
    }
    digests = {replace(first, **{key: value}).digest for key, value in changes.items()}
    assert len(digests | {first.digest}) == len(changes) + 1
    assert set(changes) == set(RoundContext.__dataclass_fields__)
