"""The in-process grid behaves as Flower's own, as far as a ServerApp can see."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.supercore.run import Run

from shared.errors import PrivacyError
from simulations.faults import Fault, ScriptedFaults
from simulations.grid import InProcessGrid


def counting_app() -> ClientApp:
    """Adds its partition id to what it receives, in place, and counts its calls in its state."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        calls = context.state.config_records.setdefault("calls", ConfigRecord({"count": 0}))
        calls["count"] = int(calls["count"]) + 1  # type: ignore[arg-type]
        if context.node_config["partition-id"] == 2:
            raise PrivacyError("refused")
        received = message.content.array_records["v"]
        received["x"] = Array(received["x"].numpy() + int(context.node_config["partition-id"]))
        message.content["calls"] = calls
        return Message(message.content, reply_to=message)

    return app


def instructions(grid: InProcessGrid, content: RecordDict, group: str = "1") -> list[Message]:
    """One message with the same content object for every node, as strategies send it."""
    return [
        Message(content, dst_node_id=node, message_type="train", group_id=group)
        for node in grid.get_node_ids()
    ]


def content() -> RecordDict:
    """A vector of zeros."""
    return RecordDict({"v": ArrayRecord({"x": Array(np.zeros(2, np.float32))})})


def test_each_client_answers_on_its_own_copy() -> None:
    """A client that changes what it received changes nothing for the others."""
    grid = InProcessGrid(counting_app(), 2, {})
    sent = content()
    replies = list(grid.send_and_receive(instructions(grid, sent), timeout=1.0))
    values = [reply.content.array_records["v"]["x"].numpy().tolist() for reply in replies]
    assert values == [[0, 0], [1, 1]]
    assert sent.array_records["v"]["x"].numpy().tolist() == [0, 0]


def test_a_client_keeps_its_state_between_messages_and_shares_it_with_nobody() -> None:
    """One Context a node."""
    grid = InProcessGrid(counting_app(), 2, {})
    first = instructions(grid, content())[:1]
    list(grid.send_and_receive(first))
    replies = list(grid.send_and_receive(instructions(grid, content())))
    assert [reply.content.config_records["calls"]["count"] for reply in replies] == [2, 1]


def test_a_client_that_raises_is_an_error_reply_and_the_others_go_on() -> None:
    """Code 2, as from a SuperNode, with a reason."""
    grid = InProcessGrid(counting_app(), 4, {})
    replies = list(grid.send_and_receive(instructions(grid, content())))
    assert [reply.has_error() for reply in replies] == [False, False, True, False]
    assert replies[2].error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert replies[2].error.reason == "PrivacyError: refused"


def test_replies_name_the_message_they_answer() -> None:
    """The server maps replies by `reply_to_message_id`, in whatever order they come."""
    grid = InProcessGrid(counting_app(), 2, {})
    ids = list(grid.push_messages(instructions(grid, content())))
    assert len(set(ids)) == 2
    answered = [next(iter(grid.pull_messages(ids))).metadata.reply_to_message_id for _ in ids]
    assert answered == ids
    assert list(grid.pull_messages(ids)) == []


def test_nothing_runs_before_it_is_pulled() -> None:
    """Memory does not grow with the cohort: a client runs when its reply is asked for."""
    calls: list[int] = []

    def app(message: Message, context: Context) -> Message:
        calls.append(context.node_id)
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app, 3, {})
    ids = list(grid.push_messages(instructions(grid, content())))
    assert calls == []
    grid.pull_messages(ids)
    assert len(calls) == 1


def test_faults_arrive_as_they_would_over_the_network() -> None:
    """An error reply for a crash or a lost node; nothing at all for silence."""
    script = {(0, "1"): Fault.RAISES, (1, "1"): Fault.UNAVAILABLE, (2, "1"): Fault.SILENT}
    grid = InProcessGrid(counting_app(), 4, {}, faults=ScriptedFaults(script))
    replies = list(grid.send_and_receive(instructions(grid, content())))
    assert [reply.has_error() for reply in replies] == [True, True, False]
    assert [reply.error.code for reply in replies[:2]] == [
        ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
        ErrorCode.NODE_UNAVAILABLE,
    ]


def test_a_client_is_online_from_the_round_on_that_it_arrives_in() -> None:
    """At the round's start: once the round before it has been sent."""
    grid = InProcessGrid(counting_app(), 3, {}, arrivals={0: 1, 1: 3})
    online = []
    for number in (1, 2, 3):
        online.append(list(grid.get_node_ids()))
        list(grid.send_and_receive(instructions(grid, content(), str(number))))
    assert online == [[1000, 1002], [1000, 1002], [1000, 1001, 1002]]


def test_a_message_to_an_unknown_node_is_answered_by_an_error() -> None:
    """As the SuperLink does for a node that is gone."""
    grid = InProcessGrid(counting_app(), 1, {})
    stray = Message(content(), dst_node_id=7, message_type="train")
    (reply,) = grid.send_and_receive([stray])
    assert reply.error.code == ErrorCode.NODE_UNAVAILABLE


def test_the_grid_tells_its_run_and_makes_messages() -> None:
    """The rest of Flower's interface."""
    grid = InProcessGrid(counting_app(), 1, {})
    other = Run.create_empty(5)
    grid.set_run(other)
    assert grid.run is other
    made = grid.create_message(content(), "train", 1000, "3", ttl=9.0)
    assert (made.metadata.group_id, made.metadata.ttl) == ("3", 9.0)
    assert [node.node_id for node in grid.get_nodes()] == [1000]


def test_an_error_of_the_programme_is_not_hidden() -> None:
    """Only what the ClientApp raises on purpose is a lost client; a broken app stops the run."""

    def app(_message: Message, _context: Context) -> Message:
        raise ZeroDivisionError

    grid = InProcessGrid(app, 1, {})
    with pytest.raises(ZeroDivisionError):
        list(grid.send_and_receive(instructions(grid, content())))
