"""A server that changes what it sends is refused by name, told nothing, and the run goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import Message

from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import Scalar
from shared.messages import TrainReply
from shared.secagg.exchange import SignedHeader
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import SignedKey
from shared.secagg.packing import answer_from_bytes
from shared.secagg.parameters import parameters_for
from shared.secagg.refusal import Refusal
from simulations.faults import Fault, ScriptedFaults
from tests.server.toy import settings
from tests.simulations.hostile_server import (
    Attack,
    Attacker,
    Moment,
    Place,
    Scene,
    Watched,
    instruction_in,
    request_in,
    request_of_a_run,
)
from tests.simulations.toy import SETTINGS

Settings = dict[str, Scalar]
Attacks = dict[str, tuple[Moment, Attack, str]]
SIX: Settings = {"population.size": 6, "aggregation.dropped_fraction": 0.2}
LOST, CORRUPT = 3, 5
SENT_AGAIN = "the very same instruction"
NO_REFUSAL = {"", "PrivacyError", "MessageError"}


def keys(change: Callable[[Scene], tuple[SignedKey, ...]]) -> Attack:
    """The instruction with other keys."""
    return lambda scene: scene.asked(keys=change(scene))


def context(**changed: Any) -> Attack:
    """The instruction in another context."""
    return lambda scene: scene.asked(context=changed)


def instruction(**changed: Any) -> Attack:
    """Another instruction, in a context that fits it."""
    return lambda scene: scene.asked(**changed)


def survivors(change: Callable[[Scene], tuple[SignedHeader, ...]]) -> Attack:
    """The request with other survivors; what they sealed for the member goes with them."""

    def attack(scene: Scene) -> Message:
        asked, headers = scene.request, change(scene)
        some = next(iter(asked.ciphertexts.values()), b"")
        sealed = {h.client_id: asked.ciphertexts.get(h.client_id, some) for h in headers}
        changed = replace(asked, headers=headers, ciphertexts=sealed if some else {})
        return scene.unmask(changed)

    return attack


def swapped(scene: Scene) -> tuple[SignedKey, ...]:
    """The server's own key under a client's name."""
    mine = X25519PrivateKey.generate().public_key().public_bytes_raw()
    return (scene.keys[0], replace(scene.keys[1], public_key=mine), *scene.keys[2:])


def fewer(scene: Scene, count: int) -> tuple[SignedHeader, ...]:
    """The first survivors alone."""
    return scene.request.headers[:count]


def never_uploaded(scene: Scene) -> tuple[SignedHeader, ...]:
    """One who was lost, by its header of the round before."""
    before = request_in(scene.first[UNMASK, 1]).headers
    return (*scene.request.headers, *(h for h in before if h.client_id == NAMES[LOST]))


def another_sum(scene: Scene) -> Message:
    """The request for a context in which fewer were asked."""
    smaller = replace(scene.context, cohort=scene.context.cohort[:5])
    return scene.unmask(replace(scene.request, context=smaller.digest))


NAMES = tuple(f"site-{index:06d}" for index in range(6))
OTHER_MODEL = np.full(2, 7.0, dtype=np.float32)
NEW, MASKED = ("train", 1, "before"), ("train", 1, "after")
AGAIN, MASKED_AGAIN = ("train", 2, "before"), ("train", 2, "after")
ASKED, TOLD = (UNMASK, 2, "before"), (UNMASK, 2, "after")
ATTACKS: Attacks = {
    "swapped key": (NEW, keys(swapped), Refusal.FOREIGN_SIGNATURE),
    "foreign signature": (
        NEW,
        keys(lambda s: (*s.keys[:5], replace(s.keys[5], signature=s.keys[4].signature))),
        Refusal.FOREIGN_SIGNATURE,
    ),
    "key of another run": (
        NEW,
        keys(lambda s: (*s.keys[:5], s.second_key(CORRUPT, "1:another"))),
        Refusal.FOREIGN_SIGNATURE,
    ),
    "stranger's key": (
        NEW,
        keys(lambda s: (*s.keys, replace(s.second_key(CORRUPT), client_id="stranger"))),
        Refusal.NOT_ENROLLED,
    ),
    "one key twice": (NEW, keys(lambda s: (*s.keys, s.keys[1])), Refusal.DUPLICATE_KEY),
    "two keys": (NEW, keys(lambda s: s.keys[:2]), Refusal.TOO_FEW_KEYS),
    "own key left out": (NEW, keys(lambda s: s.keys[1:]), Refusal.OWN_KEY_MISSING),
    "two views of a corrupt client's key": (
        NEW, keys(lambda s: (*s.keys[:5], s.second_key(CORRUPT))), Refusal.ROSTER_CHANGED,
    ),
    "cohort of one": (NEW, context(cohort=NAMES[:1]), Refusal.COHORT_TOO_SMALL),
    "cohort of two": (NEW, context(cohort=NAMES[:2]), Refusal.COHORT_TOO_SMALL),
    "one client twice": (NEW, context(cohort=(*NAMES, NAMES[5])), Refusal.COHORT_MALFORMED),
    "stranger in the cohort": (NEW, context(cohort=(*NAMES, "stranger")), Refusal.COHORT_MALFORMED),
    "others' cohort": (NEW, context(cohort=NAMES[1:]), Refusal.NOT_IN_COHORT),
    "another run": (NEW, context(run_id="1:another"), Refusal.RUN_CHANGED),
    "another plan": (NEW, context(plan="ab" * 32), Refusal.PLAN_CHANGED),
    "another plan told": (NEW, instruction(plan="{}"), "PrivacyError"),
    "another ring": (NEW, context(bits=32), Refusal.PLAN_CHANGED),
    "other keys than told": (NEW, context(roster=bytes(32)), Refusal.ROSTER_CHANGED),
    "another kind": (NEW, context(kind="evaluate"), Refusal.CONTEXT_CHANGED),
    "another model than told": (NEW, context(model=bytes(32)), Refusal.CONTEXT_CHANGED),
    "a round that is none of the plan": (NEW, instruction(round_number=3), "PrivacyError"),
    "without masks": (
        NEW,
        lambda s: s.sent(replace(instruction_in(s.message), aggregation=b"").to_record()),
        "MessageError",
    ),
    "attempt reused with another model": (
        MASKED, instruction(parameters=OTHER_MODEL), Refusal.ATTEMPT_REUSED,
    ),
    "attempt reused with another cohort": (
        MASKED, context(cohort=NAMES[:5]), Refusal.ATTEMPT_REUSED,
    ),
    "key changed": (
        AGAIN, keys(lambda s: (*s.keys[:5], s.second_key(CORRUPT))), Refusal.ROSTER_CHANGED,
    ),
    "key missing": (AGAIN, keys(lambda s: s.keys[:5]), Refusal.ROSTER_CHANGED),
    SENT_AGAIN: (MASKED_AGAIN, lambda s: s.message, ""),
    "round going back": (
        MASKED_AGAIN, instruction(round_number=1, attempt=2), Refusal.ROUND_WENT_BACK,
    ),
    "round played again": (MASKED_AGAIN, lambda s: s.first["train", 1], Refusal.ROUND_WENT_BACK),
    "U changed": (ASKED, another_sum, Refusal.CONTEXT_CHANGED),
    "who never uploaded": (ASKED, survivors(never_uploaded), Refusal.FOREIGN_SIGNATURE),
    "header of another run": (
        ASKED,
        survivors(lambda s: (s.foreign.headers[0], *s.request.headers[1:])),
        Refusal.FOREIGN_SIGNATURE,
    ),
    "request of another run": (
        ASKED, lambda s: s.unmask(s.foreign), Refusal.CONTEXT_CHANGED,
    ),
    "stranger survived": (
        ASKED,
        survivors(lambda s: (*fewer(s, 4), replace(s.request.headers[4], client_id="stranger"))),
        Refusal.SURVIVOR_NOT_IN_COHORT,
    ),
    "survivor twice": (
        ASKED, survivors(lambda s: (*fewer(s, 5), s.request.headers[0])), Refusal.SURVIVOR_TWICE,
    ),
    "V below t": (ASKED, survivors(lambda s: fewer(s, 4)), Refusal.TOO_FEW_SURVIVORS),
    "V empty": (ASKED, survivors(lambda s: fewer(s, 0)), Refusal.TOO_FEW_SURVIVORS),
    "the same again": (TOLD, lambda s: s.unmask(s.request), Refusal.CONTEXT_CHANGED),
    "second V, a survivor now dropped": (
        TOLD, survivors(lambda s: fewer(s, 4)), Refusal.CONTEXT_CHANGED,
    ),
    "masked again after it was told": (
        TOLD, lambda s: s.first["train", 1], Refusal.ROUND_WENT_BACK,
    ),
}  # fmt: skip


def not_of_the_committee(scene: Scene) -> Message:
    """A request to somebody whom the server would rather have."""
    committee = graph_of(scene).committee
    other = next(name for name in scene.context.cohort if name not in committee)
    return scene.unmask(replace(scene.request, ciphertexts={}), other)


def isolated(scene: Scene) -> tuple[SignedHeader, ...]:
    """So many that it is enough, but for a row of the circle of whom nobody is there."""
    graph = graph_of(scene)
    row = graph.order[: graph.parameters.span]
    return tuple(header for header in scene.request.headers if header.client_id not in row)


def graph_of(scene: Scene) -> RoundGraph:
    """Of the newest round of `MANY`."""
    cohort = scene.context.cohort
    parameters = parameters_for(len(cohort), len(cohort), 0.0, 0.3)
    return round_graph(cohort, scene.context.digest, parameters)


ASKED_ONCE = (UNMASK, 1, "before")
OF_MANY: Attacks = {
    "member chosen by hand": (ASKED_ONCE, not_of_the_committee, Refusal.NOT_IN_COMMITTEE),
    "all neighbours called dropped": (
        ASKED_ONCE, survivors(isolated), Refusal.SURVIVORS_ISOLATED,
    ),
}  # fmt: skip
OF_HELPED: Attacks = {
    "a helper left out": (
        NEW, context(cohort=(*NAMES[:4], NAMES[5])), Refusal.HELPER_MISSING,
    ),
    "a client as a helper": (
        ASKED_ONCE, lambda s: s.unmask(s.request, NAMES[1]), Refusal.NOT_IN_COMMITTEE,
    ),
    "a helper asked again": (
        (UNMASK, 1, "after"), survivors(lambda s: fewer(s, 5)), Refusal.CONTEXT_CHANGED,
    ),
}  # fmt: skip
MANY: Settings = {
    "population.size": 45, "aggregation.dropped_fraction": 0.3, "aggregation.corrupt_fraction": 0.0,
    "rounds": 1,
}  # fmt: skip
HELPED: Settings = {"aggregation.helpers": ",".join(NAMES[0:5:2]), "rounds": 1}
RUNS: tuple[tuple[Settings, Attacks], ...] = (
    (SIX, ATTACKS), (SIX | MANY, OF_MANY), (SIX | HELPED, OF_HELPED),
)  # fmt: skip
ALL = {name: attack for _, attacks in RUNS for name, attack in attacks.items()}
FAULTS = ScriptedFaults({(LOST, "2"): Fault.RAISES})


@dataclass(frozen=True)
class Played:
    """Runs between whose messages all attacks were made.

    Attributes:
        replies: To each attack.
        honest: To the honest messages of the first run, by type and round.
        folder: Of the first run.
        undisturbed: Of the same run without a hostile server.
    """

    replies: dict[str, Message]
    honest: dict[Place, Message]
    folder: Path
    undisturbed: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """All attacks, each made once at its moment."""
    folder = tmp_path_factory.mktemp("hostile")
    foreign = request_of_a_run(settings(folder / "foreign", SETTINGS | SIX), 2)
    attackers = []
    for number, (changes, attacks) in enumerate(RUNS):
        made = {name: (moment, attack) for name, (moment, attack, _) in attacks.items()}
        raw = settings(folder / f"{number}", SETTINGS | changes)
        attackers.append(Attacker(raw, made, foreign, FAULTS))
        attackers[-1].play()
    return Played(
        {name: reply for attacker in attackers for name, reply in attacker.replies.items()},
        attackers[0].honest,
        attackers[0].grid.folder,
        Watched(settings(folder / "undisturbed", SETTINGS | SIX), faults=FAULTS).play(),
    )


@pytest.mark.parametrize("name", sorted(ALL.keys() - {SENT_AGAIN}))
def test_a_hostile_message_is_refused_by_name_and_told_nothing(played: Played, name: str) -> None:
    """An error without content, which says which check it was."""
    reply, expected = played.replies[name], ALL[name][2]
    assert reply.has_error()
    assert not reply.has_content()
    raised = f"AggregationRefused: {expected}" if expected in set(Refusal) else expected
    assert str(reply.error.reason).startswith(f"{raised}: ")


def test_every_check_of_a_client_is_tried() -> None:
    """All the names of refusals, but for the two of other tests."""
    elsewhere = {Refusal.CIPHERTEXT_OF_ANOTHER_CONTEXT, Refusal.ANSWERED_BEFORE}
    assert {expected for _, _, expected in ALL.values()} == set(Refusal) - elsewhere | NO_REFUSAL


def test_the_same_question_gets_the_same_bytes(played: Played) -> None:
    """As long as nobody was asked to unmask it."""
    uploads = [
        TrainReply.from_record(reply.content).masked
        for reply in (played.honest["train", 2], played.replies[SENT_AGAIN])
    ]
    assert uploads[0] == uploads[1]


def test_a_run_goes_on_between_attacks_and_nobody_pays_for_them(played: Played) -> None:
    """The model and the clients' ledgers are those of a run without a hostile server."""
    for name in ("model.safetensors", "ledgers/charges.jsonl"):
        found = [(folder / name).read_bytes() for folder in (played.folder, played.undisturbed)]
        assert found[0] == found[1]


def test_shares_sealed_in_another_run_are_not_told(tmp_path: Path) -> None:
    """The member says whose it cannot read, and tells nothing of them."""
    foreign = request_of_a_run(settings(tmp_path / "foreign", SETTINGS | SIX), 1)

    def attack(scene: Scene) -> Message:
        cohort = scene.context.cohort
        graph = round_graph(cohort, scene.context.digest, parameters_for(6, 6, 0.1, 0.2))
        request = replace(scene.request, ciphertexts=foreign.ciphertexts)
        return scene.unmask(request, graph.sealed[0])

    raw = settings(tmp_path / "attacked", SETTINGS | SIX | {"rounds": 1})
    attacker = Attacker(raw, {"sealed elsewhere": (ASKED_ONCE, attack)}, foreign)
    attacker.play()
    reply = UnmaskMessage.from_record(attacker.replies["sealed elsewhere"].content)
    told = answer_from_bytes(reply.content)
    assert foreign.ciphertexts.keys() == set(told.unopened) == set(NAMES)
    assert (told.own, told.pairs, told.masks) == (b"", b"", b"")
