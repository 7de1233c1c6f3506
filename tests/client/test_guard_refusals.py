"""What a guard does not answer: each by a name at the site, and by a class at the server."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from client.fleet_errors import FleetRefused, FleetUnavailable, RequestRefused
from client.in_process import InProcess
from client.ledger import Ledger
from client.letters import Letter, Received
from client.policy import SitePolicy
from client.worker_process import WorkerFailed
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import DataError, PrivacyError
from shared.messages import TrainInstruction, TrainReply, enrol_request
from tests.client.authorities import TestAuthority
from tests.client.guarded_grid import AUTHORITY, GuardedSite
from tests.client.made_sites import made_bundle, made_home, signature
from tests.client.test_session import RAW, instruction

OPEN: dict[str, Scalar] = {**RAW, "seed": "os"}
PRIVATE = "patient 4711"
OWN = made_bundle()
FOREIGN = made_bundle(more={"client/more.py": b""})


class Quick:
    """Computing that trains nothing."""

    def __init__(self, config: RunConfig) -> None:
        del config
        self.asked = 0

    def update(self, site: object, asked: TrainInstruction, kept: object) -> NDArray[np.float32]:
        """Zero."""
        del site, kept
        return np.zeros_like(asked.parameters)

    def rows(self, *_: object) -> NDArray[np.float64]:
        """None."""
        return np.zeros((0, 3))


def made(folder: Path, policy: SitePolicy | None = None, **overrides: Scalar) -> GuardedSite:
    """A site, for a run whose bundle is the installed code."""
    home = made_home(folder / "home", AUTHORITY, policy=policy)
    keys = {name.replace("__", "."): value for name, value in overrides.items()}
    signed: dict[str, Scalar] = {"output.bundle_signature": signature(AUTHORITY, OWN)}
    return GuardedSite(home, OPEN | keys | signed, computing=Quick)


def training(site: GuardedSite, **changes: Any) -> Message:
    """The first round's message, by the run's own plan."""
    known: Mapping[str, Any] = {
        key: value for key, value in site.overrides.items() if key != "output.bundle_signature"
    }
    asked = instruction(PrivacyPlan.from_config(RunConfig.from_run_config(known)))
    return message(replace(asked, **changes).to_record(), "train")


def message(content: RecordDict, kind: str) -> Message:
    """A message to the site."""
    return Message(content, dst_node_id=7, message_type=kind, group_id="1")


def refused(site: GuardedSite, asked: Message) -> tuple[str | None, list[str]]:
    """What the server is told, and why at the site's own log; nothing was charged."""
    reply = site.answer(asked)
    assert reply.has_error()
    assert list(Ledger(site.home.ledger).reservations.values()).count(None) == len(
        Ledger(site.home.ledger).reservations
    )
    assert not [event for event, _ in site.events if event == "left"]
    return reply.error.reason, [
        str(detail["reason"]) for event, detail in site.events if event == "refused"
    ]


def test_an_ordinary_message_is_answered_and_recorded(tmp_path: Path) -> None:
    """What left: kind, run, round, attempt, bytes, hash; and the plan it was of."""
    site = made(tmp_path)
    asked = training(site)
    reply = site.answer(asked)
    assert TrainReply.from_record(reply.content).attempt == 2
    [letter] = site.server.sent[asked.metadata.message_id]
    assert dict(site.events)["left"] == {
        "kind": "train", "run": "1", "round": 1, "attempt": 2, "bytes": letter.size,
        "sha256": letter.digest,
    }  # fmt: skip
    assert dict(site.events)["plan"]["rounds"] == 60
    assert site.server.confirmed == [asked.metadata.message_id]


@pytest.mark.parametrize(
    ("bundle", "signed", "reason"),
    [
        (FOREIGN, signature(AUTHORITY, FOREIGN), "bundle_not_approved"),
        (OWN, "", "bundle_not_signed"),
        (OWN, signature(TestAuthority.new(), OWN), "bundle_not_signed"),
        (b"no archive", "", "bundle_no_archive"),
    ],
    ids=["foreign", "unsigned", "forged", "broken"],
)
def test_code_that_nobody_accepted_does_not_run(
    tmp_path: Path, bundle: bytes, signed: str, reason: str
) -> None:
    """Not even for an enrolment; the server is told a class."""
    site = made(tmp_path)
    site.overrides = {**site.overrides, "output.bundle_signature": signed}
    site.server.overrides, site.server.bundle_content = site.overrides, bundle
    told, why = refused(site, message(enrol_request(), "query.enrol"))
    assert told in {"NotApproved", "BundleRefused"}
    assert why == [reason]
    assert site.server.sent
    [letters] = site.server.sent.values()
    assert b"INVALID" not in letters[0].message
    assert site.answer(training(site)).error.code == ErrorCode.INVALID_FAB


def test_a_run_beyond_the_policy_is_refused_by_every_rule(tmp_path: Path) -> None:
    """Named here; a class there."""
    policy = SitePolicy(tasks=("xrays",), most_epsilon=1.0)
    site = made(tmp_path, policy)
    told, why = refused(site, training(site))
    assert told == "PolicyRefused"
    assert why == ["task_not_allowed", "epsilon_too_large"]


def test_a_seeded_run_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """Whoever knows the seed can subtract the noise."""
    site = made(tmp_path, SitePolicy(), seed=5)
    assert refused(site, training(site)) == ("PolicyRefused", ["seeded_run"])


def test_outside_its_hours_a_site_answers_nothing(tmp_path: Path) -> None:
    """An hour that is not now."""
    now = time.localtime()
    hours = f"{(now.tm_hour + 2) % 24:02d}:00-{(now.tm_hour + 3) % 24:02d}:00"
    site = made(tmp_path, SitePolicy(hours=hours))
    assert refused(site, training(site)) == ("PolicyRefused", ["outside_hours"])


def test_another_plan_than_the_runs_is_refused(tmp_path: Path) -> None:
    """By the session, before anything is charged."""
    site = made(tmp_path)
    told, why = refused(site, training(site, plan_digest="00" * 32))
    assert (told, why) == ("PrivacyError", ["privacy_error"])


def test_what_the_ledger_does_not_allow_is_refused(tmp_path: Path) -> None:
    """And asked again, refused again."""
    home = made_home(tmp_path / "home", AUTHORITY, epsilon=0.001)
    signed: dict[str, Scalar] = {"output.bundle_signature": signature(AUTHORITY, OWN)}
    site = GuardedSite(home, OPEN | signed, computing=Quick)
    for _ in range(2):
        told, why = refused(site, training(site))
        assert (told, set(why)) == ("BudgetExhausted", {"budget_exhausted"})


def test_an_attempt_that_was_answered_is_not_answered_in_another_message(tmp_path: Path) -> None:
    """The average of two answers has less noise than one."""
    site = made(tmp_path)
    assert site.answer(training(site)).has_content()
    again = site.answer(training(site))
    assert (again.error.reason, len(Ledger(site.home.ledger).reservations)) == ("PrivacyError", 1)


@pytest.mark.parametrize("error", [ValueError(PRIVATE), DataError(PRIVATE), WorkerFailed(PRIVATE)])
def test_the_text_of_an_error_stays_at_the_site(tmp_path: Path, error: Exception) -> None:
    """Charged, since the data were read; but nothing leaves, not even in the text."""

    class Fails(Quick):
        def update(self, *_: object) -> NDArray[np.float32]:
            raise error

    site = made(tmp_path)
    site.computing = Fails
    asked = training(site)
    reply = site.answer(asked)
    assert type(error).__name__ in str(reply.error.reason)
    [letter] = site.server.sent[asked.metadata.message_id]
    assert PRIVATE.encode() not in letter.message + b"".join(letter.objects.values())
    assert list(Ledger(site.home.ledger).reservations.values()) == [None]


def test_a_message_of_a_kind_that_the_protocol_does_not_know_is_refused(tmp_path: Path) -> None:
    """Whatever it holds."""
    site = made(tmp_path)
    told, _ = refused(site, message(enrol_request(), "query.gradients"))
    assert told == "MessageError"


def test_an_answer_that_nobody_waits_for_is_not_computed(tmp_path: Path) -> None:
    """Nothing is charged for it."""
    site = made(tmp_path)
    asked = training(site)
    asked.metadata.__dict__["_created_at"] = time.time() - 10_000
    asked.metadata.__dict__["_ttl"] = 100_000.0
    assert refused(site, asked) == ("TooLate", ["too_late"])
    assert Ledger(site.home.ledger).reservations == {}


def test_what_is_of_a_run_that_is_over_is_forgotten(tmp_path: Path) -> None:
    """With the keys of the run; other runs go on."""
    site = made(tmp_path)
    site.answer(training(site))
    assert [path.name for path in site.home.state.glob("run-*")] == ["run-1"]
    site.server.over = True
    site.start()
    site.serve()
    assert list(site.home.state.iterdir()) == []


def test_a_run_that_ends_is_forgotten_while_the_connection_stands(tmp_path: Path) -> None:
    """Within a minute of nothing to do, keys and all; not before, and no run that goes on."""
    site = made(tmp_path)
    site.answer(training(site))
    for seconds, over, kept in ((50.0, True, 1), (70.0, False, 1), (70.0, True, 0)):
        site.guard._swept = time.monotonic() - seconds
        site.server.over = over
        site.guard._sweep_now_and_then()
        assert len(list(site.home.state.glob("run-*"))) == kept
    assert site.guard._runs == {}


def test_a_server_that_is_away_gets_the_same_letter_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it goes away in between."""
    site = made(tmp_path)
    fails = iter([FleetUnavailable("away"), FleetRefused("clock"), FleetUnavailable("away")])
    first, kept = site.server.send, list[Letter]()

    def send(letter: Letter) -> None:
        kept.append(letter)
        for error in fails:
            raise error
        first(letter)

    site.server.send = send  # type: ignore[method-assign]
    monkeypatch.setattr(site.stop, "wait", lambda _: True)
    asked = training(site)
    assert site.answer(asked).has_content()
    assert len(kept) == 4
    assert len({letter.digest for letter in kept}) == 1


def test_a_message_that_is_given_out_again_gets_the_same_letter(tmp_path: Path) -> None:
    """A server that does not know whether it got an answer asks once more; nothing is charged."""
    site = made(tmp_path)
    asked = training(site)
    site.answer(asked)
    name = asked.metadata.message_id
    for restarted in (False, True):
        if restarted:
            site.start()
        assert site.server.give(asked) == name
        site.serve()
    first, *others = site.server.sent[name]
    assert len(others) == 2
    assert {letter.digest for letter in others} == {first.digest}
    assert len(Ledger(site.home.ledger).reservations) == 1


def test_a_letter_that_the_server_does_not_take_is_not_sent_for_ever(tmp_path: Path) -> None:
    """It may be too large for it; the next message is answered."""
    site = made(tmp_path)
    first = site.server.send

    def send(letter: Letter) -> None:
        site.server.send = first  # type: ignore[method-assign]
        raise RequestRefused(f"413 for {letter.size} bytes")

    site.server.send = send  # type: ignore[method-assign]
    name = site.server.give(training(site))
    site.serve()
    assert name not in site.server.sent
    assert site.answer(training(site, attempt=3)).has_content()
    assert [d["reason"] for event, d in site.events if event == "refused"] == ["not_taken"]


def test_what_the_ledger_does_not_take_does_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another answer was committed to the same attempt: this one becomes a refusal."""

    def fails(*_: object) -> None:
        raise PrivacyError("expected the reply that was committed before, got another")

    monkeypatch.setattr(Ledger, "commit", fails)
    site = made(tmp_path)
    assert refused(site, training(site)) == ("PrivacyError", ["privacy_error"])


def test_a_guard_that_is_stopped_leaves_its_message_for_the_next_start(tmp_path: Path) -> None:
    """The worker was ended over it; then it is computed for the same charge."""
    site = made(tmp_path)

    class Ended(Quick):
        def update(self, *_: object) -> NDArray[np.float32]:
            site.stop.set()
            raise WorkerFailed("ended")

    site.computing = Ended
    asked = training(site)
    name = site.server.give(asked)
    site.serve()
    assert name not in site.server.sent
    site.computing = Quick
    site.start()
    site.serve()
    assert site.server.sent[name][0].holds_content
    assert len(Ledger(site.home.ledger).reservations) == 1


def test_a_message_without_a_sound_id_is_dropped(tmp_path: Path) -> None:
    """It could not even be noted; the next one is answered."""
    site = made(tmp_path)
    for noise in (b"", b"\xff\xff", b"\n\x05\x12\x03../"):
        site.server.waiting.append(Received(noise, b""))
    assert site.answer(training(site)).has_content()


_SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=9), st.booleans()
)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.sampled_from(["train", "evaluate", "query.enrol", "query.statistics", "query.unmask"]),
    st.dictionaries(st.sampled_from(["protocol_version", "kind", "round_number", "attempt", "plan",
                                     "plan_digest", "clipping_norm", "x"]), _SCALARS),
)  # fmt: skip
def test_no_message_does_anything_but_be_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, header: dict[str, Any]
) -> None:
    """Whatever its header; nothing is charged, and the guard goes on."""
    site = made(tmp_path_factory.mktemp("site"))
    content = RecordDict({"murmura": ConfigRecord({"protocol_version": 4, **header})})
    if kind == "query.enrol" and set(header) <= {"protocol_version"}:
        return
    reply = site.answer(message(content, kind))
    assert reply.has_error() or kind == "query.enrol"
    assert Ledger(site.home.ledger).reservations == {}


def test_a_session_is_made_once_for_a_run(tmp_path: Path) -> None:
    """The bundle is fetched and looked at once, too."""
    site = made(tmp_path)
    site.computing = InProcess
    for attempt in (1, 2, 3):
        assert site.answer(training(site, attempt=attempt)).has_content()
    assert [event for event, _ in site.events].count("plan") == 1
