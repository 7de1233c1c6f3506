"""The population is known by names, before the first round or from when a client joins."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from flwr.app import Message, RecordDict

from server.enrolment import Enrolment
from server.exchange import POLL_INTERVAL_S
from server.roster import Roster
from shared.config import Scalar
from shared.errors import AggregationRefused, ConfigurationError, ProtocolError
from shared.messages import GUARD, NOBODY, Enrolled
from tests.server.fake_grid import FIRST_NODE, Answer, FakeGrid, failed, named, silent
from tests.server.toy import config

# Of three clients two are enough.
PARTLY: dict[str, Scalar] = {"cohort.present_at_start": 0.6}


def enrolled(enrolment: Answer | None = None, *, nodes: int = 3) -> Roster:
    """The roster of a grid of three."""
    grid = FakeGrid(nodes, silent, enrolment=enrolment)
    return Enrolment(grid, config(Path())).begin()


class Federation:
    """Two of three clients have enrolled, of nodes 1 and 2; then nodes come and go.

    `names` says what each node answers: a name, "" for an error, or None for nothing.
    """

    def __init__(self) -> None:
        self.names: dict[int, str | None] = {1: "b", 2: "c"}
        self.online = [1, 2]
        self.guarded: set[str] = set()
        self.grid = FakeGrid(3, silent, enrolment=self._answer, at_once=9)
        self.grid.online = lambda _: self.online
        self.enrolment = Enrolment(self.grid, config(Path(), PARTLY))
        self.roster = self.enrolment.begin()

    def _answer(self, client: int, message: Message) -> list[Message]:
        name = self.names[2 - client]
        if name is None:
            return []
        if not name:
            return [failed(message, "no data")]
        by = GUARD if name in self.guarded else NOBODY
        return [Message(Enrolled(client_id=name, enforced_by=by).to_record(), reply_to=message)]

    def come(self, node: int, name: str | None) -> None:
        """A node goes online."""
        self.names[node] = name
        self.online.append(node)

    @property
    def nodes(self) -> dict[str, int]:
        """Node of each client, as it is numbered here."""
        return {name: node - FIRST_NODE for name, node in self.roster.node_ids.items()}


def test_clients_are_in_the_order_of_their_names_whatever_their_nodes() -> None:
    """Sampling is by position, so it must not depend on a transport's node ids."""
    found = enrolled()
    assert found.client_ids == ("site-0", "site-1", "site-2")
    assert found.node_ids == {f"site-{i}": FIRST_NODE + 2 - i for i in range(3)}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda message: failed(message, "no data " + "z" * 900), "no data zzz"),
        (lambda message: Message(RecordDict({}), reply_to=message), "expected a record"),
        (lambda message: named("n" * 101, message), "at most 100 characters, got 101"),
        (lambda message: named("a\nb", message), "printable"),
    ],
)
def test_a_malformed_enrolment_leaves_its_node_out_and_says_why(
    wrong: Callable[[Message], Message],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then the population is not complete, which sampling and divisor rest on."""

    def answer(client: int, message: Message) -> list[Message]:
        return [wrong(message) if client == 0 else named(f"site-{client}", message)]

    with pytest.raises(ConfigurationError, match=r"impossible cohort.*3 clients.*got 2") as caught:
        enrolled(answer)
    assert reason in str(caught.value)
    [warning] = caplog.records
    assert reason in warning.getMessage()
    assert len(warning.getMessage()) < 250


def test_two_nodes_of_one_name_stop_the_run() -> None:
    """One client would be sampled twice."""
    with pytest.raises(ProtocolError, match="got two for 'same'"):
        enrolled(lambda client, message: [named("same" if client else "other", message)])


def test_more_clients_than_the_population_are_refused() -> None:
    """The public constant N would be wrong."""
    with pytest.raises(ConfigurationError, match=r"impossible cohort.*= 3 clients.*got 4$"):
        enrolled(nodes=4)


def test_too_few_nodes_are_refused_when_the_time_is_up() -> None:
    """And nobody is asked for a name."""
    with pytest.raises(ConfigurationError, match=r"impossible cohort.*got 2 nodes online"):
        enrolled(lambda client, message: pytest.fail(f"{client} was asked: {message}"), nodes=2)


def test_nodes_that_come_later_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In deployment sites start one after another."""

    class Filling(FakeGrid):
        seen = 0

        def get_node_ids(self) -> Iterable[int]:
            self.seen = min(3, self.seen + 1)
            return range(FIRST_NODE, FIRST_NODE + self.seen)

    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    patient = config(Path(), {"cohort.timeout_s": 60.0})
    assert len(Enrolment(Filling(3, silent), patient).begin().client_ids) == 3
    assert slept == [POLL_INTERVAL_S] * 2


def test_a_run_begins_with_the_share_of_clients_that_is_enough() -> None:
    """Whoever has answered by then; a node that says nothing is not waited for."""
    asked = FakeGrid(
        3, silent, enrolment=lambda i, message: [named(f"site-{i}", message)] if i else []
    )
    patient = config(Path(), PARTLY | {"cohort.timeout_s": 1e6})
    assert Enrolment(asked, patient).begin().client_ids == ("site-1", "site-2")


def test_a_run_that_begins_with_some_waits_for_as_many_good_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two nodes one is wrong; a third that comes later is asked, and each is asked once."""
    online = [0, 1]
    monkeypatch.setattr("time.sleep", lambda _: online.append(2) if len(online) == 2 else None)
    grid = FakeGrid(
        3,
        silent,
        enrolment=lambda i, message: [failed(message) if i == 2 else named(f"site-{i}", message)],
    )
    grid.online = lambda _: online
    patient = config(Path(), PARTLY | {"cohort.timeout_s": 60.0})
    assert Enrolment(grid, patient).begin().client_ids == ("site-0", "site-1")
    assert len(grid.enrolled) == 3


def test_too_few_or_too_many_at_the_start_are_refused_where_some_are_enough() -> None:
    """One of the two that are needed; four of at most three."""
    for nodes, message in ((1, "got 1 nodes online"), (4, "to enrol, got 4")):
        grid = FakeGrid(nodes, silent)
        with pytest.raises(
            ConfigurationError, match=f"at least 2 of population.size = 3.*{message}"
        ):
            Enrolment(grid, config(Path(), PARTLY)).begin()


def test_a_run_does_not_begin_without_the_clients_that_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of three are enough, but for the one that must be there; it is waited for."""
    online = [0, 1]
    monkeypatch.setattr("time.sleep", lambda _: online.append(2) if len(online) == 2 else None)
    grid = FakeGrid(3, silent)
    grid.online = lambda _: online
    patient = config(Path(), PARTLY | {"cohort.timeout_s": 60.0})
    assert len(Enrolment(grid, patient, ("site-0",)).begin().client_ids) == 3
    for share in (PARTLY, {}):
        with pytest.raises(ConfigurationError, match=r"all helpers to enrol, got none of \['x'\]"):
            Enrolment(FakeGrid(3, silent), config(Path(), share), ("site-0", "x")).begin()


def test_a_node_that_comes_later_joins_at_the_next_free_place() -> None:
    """Whatever its name, so that no other client's place in the draws changes."""
    federation = Federation()
    federation.come(7, "a")
    federation.enrolment.join(None)
    assert federation.roster.places == ("b", "c", "a")
    assert federation.roster.client_ids == ("a", "b", "c")
    assert federation.nodes == {"b": 1, "c": 2, "a": 7}


def test_who_says_that_its_guard_enforces_is_remembered_with_its_node() -> None:
    """At the start, later, and not where a client goes on at a node that does not say so."""
    federation = Federation()
    federation.names = {1: "b", 2: "c"}
    federation.guarded = {"a"}
    federation.come(7, "a")
    federation.enrolment.join(None)
    assert federation.roster.guarded == {"a"}
    federation.guarded = set()
    federation.come(8, "a")
    federation.enrolment.join(None)
    federation.online.remove(7)
    federation.enrolment.join(None)
    assert federation.nodes["a"] == 8
    assert federation.roster.guarded == set()


def test_nobody_is_asked_or_waited_for_where_nobody_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A round's start costs one look at who is online."""
    federation = Federation()
    for call in ("push_messages", "pull_messages"):
        monkeypatch.setattr(federation.grid, call, pytest.fail)
    federation.enrolment.join(None)
    assert len(federation.grid.enrolled) == 2


def test_a_late_answer_counts_when_it_comes() -> None:
    """The round that begins does not wait for it."""
    federation = Federation()
    federation.come(7, None)
    federation.enrolment.join(None)
    assert federation.roster.places == ("b", "c")
    asked = federation.grid.enrolled[-1]
    federation.grid._replies.append(named("a", asked))
    federation.enrolment.join(None)
    assert federation.nodes["a"] == 7


def test_a_node_that_the_grid_did_not_accept_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It went offline in between."""
    federation = Federation()
    federation.come(7, "a")
    push = federation.grid.push_messages
    monkeypatch.setattr(federation.grid, "push_messages", lambda messages: [None] * len(messages))
    federation.enrolment.join(None)
    monkeypatch.setattr(federation.grid, "push_messages", push)
    federation.enrolment.join(None)
    assert federation.nodes["a"] == 7


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "no data"), ("n" * 101, "at most 100"), ("d", "all 3 of population.size are enrolled")],
)
def test_a_wrong_or_superfluous_node_is_left_out_logged_and_asked_once(
    name: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, and its log is not filled."""
    federation = Federation()
    federation.come(6, "a")
    federation.enrolment.join(None)
    federation.come(7, name)
    for _ in range(3):
        federation.enrolment.join(None)
    assert federation.nodes == {"b": 1, "c": 2, "a": 6}
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert reason in warning
    assert len(federation.grid.enrolled) == 4


def test_a_node_of_anothers_name_is_left_out_while_that_one_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody pushes a client aside."""
    federation = Federation()
    federation.come(7, "b")
    for _ in range(3):
        federation.enrolment.join(None)
    assert federation.nodes == {"b": 1, "c": 2}
    assert ["is named b" in record.getMessage() for record in caplog.records] == [True]


def test_a_client_that_restarted_goes_on_at_its_new_node_once_the_old_one_is_gone() -> None:
    """Flower calls a lost node online for a while yet; the client keeps its place."""
    federation = Federation()
    federation.come(7, "b")
    federation.enrolment.join(None)
    federation.online.remove(1)
    federation.enrolment.join(None)
    assert federation.nodes == {"b": 7, "c": 2}
    assert federation.roster.places == ("b", "c")
    federation.come(8, "b")
    federation.online.remove(7)
    federation.enrolment.join(None)
    assert federation.nodes == {"b": 8, "c": 2}


def test_a_restart_before_the_run_begins_is_no_second_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node that is gone is forgotten; both online would stop the run."""
    online, names = [0], ["same", "same", "other"]
    monkeypatch.setattr("time.sleep", lambda _: online.__setitem__(slice(None), [1, 2]))
    grid = FakeGrid(
        3,
        silent,
        enrolment=lambda i, message: [named(names[2 - i], message)],
    )
    grid.online = lambda _: online
    patient = config(
        Path(), {"population.size": 5, "cohort.present_at_start": 0.4, "cohort.timeout_s": 9.0}
    )
    monkeypatch.setattr(Enrolment, "_wait_for_nodes", lambda *_: None)
    assert Enrolment(grid, patient).begin().node_ids == {
        "other": FIRST_NODE + 2,
        "same": FIRST_NODE + 1,
    }


def test_under_secure_aggregation_a_key_that_is_refused_keeps_its_node_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And a client that restarted has another key, which the others would refuse."""
    federation = Federation()
    admitted: list[tuple[str, bytes]] = []

    def admit(client: str, announcement: bytes) -> None:
        if client == "bad":
            raise AggregationRefused("foreign_signature", "planted")
        admitted.append((client, announcement))

    federation.come(7, "bad")
    federation.online.remove(1)
    federation.come(8, "b")
    federation.come(9, "a")
    for _ in range(2):
        federation.enrolment.join(admit)
    assert federation.nodes == {"b": 1, "c": 2, "a": 9}
    assert admitted == [("a", b"")]
    one, two = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "foreign_signature" in one
    assert "got 'b' with another one" in two
