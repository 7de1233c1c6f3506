"""What was handed over is there until it has arrived, whatever connection or process breaks."""

import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.superlink.servicer.runtime import runtime_handlers

from server import delivery
from server.superlink import SuperLink
from tests.server.flower_run import PlayedRun, activate, pulled, pushed, record_of, reply_to
from tests.server.served import served
from tests.server.site_client import SiteKeys

KEY = bytes(range(32))
UPDATE = np.arange(8, dtype=np.float32)


class Asked:
    """A run that has asked a site, which has the message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = SuperLink(folder / "state.db", b"exec secret", KEY)
        self.keys = SiteKeys("site-a")
        self.link.register("site-a", self.keys.node_key)
        self.node = self.link.nodes()[self.keys.node_key].node_id
        assert self.state.activate_node(self.node, 30.0)
        self.run = PlayedRun(self.link)
        self.asked = self.run.ask(self.node, record_of(UPDATE))
        (self.message,) = self.state.get_message_ins(self.node, 1)
        self.reply = reply_to(self.message, record_of(2 * UPDATE))

    @property
    def state(self) -> Any:
        """Flower's."""
        return self.link._state

    def restart(self) -> None:
        """As after `kill -9` of the process that serves."""
        self.link.close()
        self.link = SuperLink(self.folder / "state.db", b"exec secret", KEY)

    def announce(self) -> tuple[str, list[str]]:
        """The site says what its reply is made of; the session, and what is missing of it."""
        session = self.state.start_session(self.run.run_id)
        stored, missing = self.state.store_message_and_object_tree(
            remove_content_from_message(self.reply), get_object_tree(self.reply), session
        )
        assert stored
        return session, missing

    def hand_in(self, session: str, names: list[str]) -> None:
        """Parts of the reply."""
        objects = get_all_nested_objects(self.reply)
        for name in names:
            content = objects[name].deflate()
            assert self.state.store_object(self.run.run_id, session, name, content)

    def replies(self) -> list[Message]:
        """What the run's process is given, as Flower's handler gives it."""
        found: list[Message] = self.state.get_message_res({self.asked}, self.run.run_id)
        self.state.delete_messages({m.metadata.reply_to_message_id for m in found})
        return found


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """A new one."""
    made = Asked(tmp_path)
    yield made
    made.link.close()


def test_what_is_used_of_flower_is_still_there() -> None:
    """Methods with their parameters; and its handler deletes what it hands out, as before."""
    assert list(inspect.signature(SqlLinkState.get_message_res).parameters) == [
        "self", "message_ids", "run_id",
    ]  # fmt: skip
    assert list(inspect.signature(SqlLinkState.delete_messages).parameters) == [
        "self", "message_ins_ids",
    ]  # fmt: skip
    assert list(inspect.signature(SqlLinkState.store_object).parameters) == [
        "self", "run_id", "session_id", "object_id", "object_content",
    ]  # fmt: skip
    source = inspect.getsource(runtime_handlers.pull_messages)
    assert "state.delete_messages(" in source
    assert "object_store.delete(" in inspect.getsource(runtime_handlers.confirm_message_received)


def test_a_site_that_starts_anew_is_asked_again(asked: Asked) -> None:
    """What it answered is not asked again; until then it counts as alive."""
    state, link = asked.state, asked.link
    assert state.get_message_ins(asked.node, 1) == []
    assert not state.activate_node(asked.node, 30.0)
    link.delivery.returning(asked.keys.node_key)
    assert asked.replies() == []  # not taken for lost
    assert state.activate_node(asked.node, 30.0)
    assert [m.metadata.message_id for m in state.get_message_ins(asked.node, 1)] == [asked.asked]
    link.delivery.returning(SiteKeys("nobody").node_key)


def test_what_was_answered_is_not_asked_again(asked: Asked) -> None:
    """Although the site had started anew before its answer came."""
    link = asked.link
    link.delivery.returning(asked.keys.node_key)
    assert link.delivery.addressed() == {asked.keys.node_key}
    asked.announce()
    link.delivery.answered(asked.keys.node_key)
    assert link.delivery.addressed() == set()
    assert asked.state.get_message_ins(asked.node, 1) == []
    link.delivery.answered(SiteKeys("nobody").node_key)


def test_a_reply_whose_sending_broke_off_can_be_sent_again(asked: Asked) -> None:
    """However often the run asks meanwhile; it is handed out once it is whole, and once."""
    session, missing = asked.announce()
    asked.hand_in(session, missing[:1])
    assert asked.replies() == []
    session, rest = asked.announce()
    assert set(rest) == set(missing[1:])
    asked.hand_in(session, rest)
    (reply,) = asked.replies()
    assert reply.metadata.message_id == asked.reply.metadata.message_id
    assert asked.replies() == []


def test_a_reply_that_never_becomes_whole_is_handed_out_in_part(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Flower waits for it no longer: the run learns that nothing will come."""
    asked.announce()
    assert asked.replies() == []
    monkeypatch.setattr(delivery, "now", lambda: datetime(2999, 1, 1, tzinfo=UTC))
    assert len(asked.replies()) == 1


def test_a_reply_is_kept_until_the_run_has_it(asked: Asked) -> None:
    """Whoever serves may die after Flower handed it out and before it arrived."""
    asked.hand_in(*asked.announce())
    (reply,) = asked.replies()
    asked.restart()
    (again,) = asked.replies()
    assert again.metadata.message_id == reply.metadata.message_id
    asked.state.object_store.delete(reply.metadata.message_id)
    (gone,) = asked.replies()
    assert gone.has_error()
    assert asked.state.get_valid_message_ins(asked.asked) is None


def test_an_object_that_is_handed_in_twice_was_handed_in(asked: Asked) -> None:
    """Flower alone would say no to the second, and end the run over it."""
    session, missing = asked.announce()
    asked.hand_in(session, missing)
    asked.hand_in(session, missing)
    assert not asked.state.store_object(asked.run.run_id, session, "ab" * 32, b"another")


def test_a_run_that_is_over_leaves_no_reply(asked: Asked) -> None:
    """Though its process never said that it has it."""
    asked.hand_in(*asked.announce())
    assert len(asked.replies()) == 1
    asked.run.finish()
    assert asked.link._store.query("SELECT * FROM message_res") == []
    assert asked.link._store.query("SELECT * FROM message_ins") == []
    assert asked.link.delivery._handed == {}


def test_what_did_not_reach_a_site_waits_for_it_again(asked: Asked) -> None:
    """But not what it has answered."""
    answer = PullMessagesResponse(messages_list=[message_to_proto(asked.message)])
    content = answer.SerializeToString()
    asked.link.delivery.unseen(content)
    assert asked.link.delivery.addressed() == {asked.keys.node_key}
    asked.announce()
    asked.link.delivery.answered(asked.keys.node_key)
    asked.link.delivery.unseen(content)
    assert asked.link.delivery.addressed() == set()


def test_a_message_is_not_given_to_a_connection_that_its_site_has_given_up(tmp_path: Path) -> None:
    """The site asked, lost its connection and came anew; only then is there a message."""
    with served(tmp_path) as server, server.site(SiteKeys("site-a")) as site:
        node, run = activate(site), PlayedRun(server.serving._superlink)
        mailbox: Any = server.serving._mailbox
        came, patient = asyncio.Event(), mailbox.wait

        async def waits(_key: str) -> bool:
            mailbox.wait = patient
            return await came.wait()

        mailbox.wait = waits
        with ThreadPoolExecutor(1) as threads:
            before = threads.submit(pulled, site, node)
            while mailbox.wait is waits:
                pass
            assert activate(site) == node
            run.ask(node, record_of(UPDATE))
            loop: Any = getattr(came, "_loop")  # noqa: B009 - the one that waits
            loop.call_soon_threadsafe(came.set)
            assert before.result(30) is None
        message = pulled(site, node)
        assert message is not None
        pushed(site, node, reply_to(message, record_of(UPDATE)))
        run.finish()
