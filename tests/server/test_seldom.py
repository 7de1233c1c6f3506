"""Flower's state writes seldom what it need not write at every request."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

from server.seldom import BUSY_MS, CACHE_KIB, EVERY_S, PUSH_SESSION_S, Seldom, Traffic
from server.superlink import SuperLink
from tests.server.flower_run import PlayedRun


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """Now."""
        return self.now


def test_it_is_done_at_once_and_then_once_a_while() -> None:
    """However many ask."""
    clock, done = Clock(), list[float]()
    seldom = Seldom(lambda: done.append(clock.now), clock)
    for _ in range(10):
        seldom()
    assert done == [5.0]
    clock.now += EVERY_S
    for _ in range(10):
        seldom()
    assert done == [5.0, 5.0 + EVERY_S]


def test_bytes_are_handed_on_in_sum() -> None:
    """None is counted twice, none is lost but what came last; a run of none is left out."""
    clock, told = Clock(), list[Any]()
    traffic = Traffic(lambda run, **sums: told.append((run, sums)), clock)
    for _ in range(3):
        traffic(7, bytes_sent=10, bytes_recv=1)
    assert told == []
    clock.now += EVERY_S
    traffic(8, bytes_sent=0, bytes_recv=0)
    assert told == [(7, {"bytes_sent": 30, "bytes_recv": 3})]


def test_the_superlinks_state_is_eased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that Flower has; and it still finds out that a task has ended."""
    looks = list[int]()
    inner = SqlLinkState._cleanup_expired_task_tokens

    def look(self: SqlLinkState) -> None:
        looks.append(1)
        inner(self)

    monkeypatch.setattr(SqlLinkState, "_cleanup_expired_task_tokens", look)
    link = SuperLink(tmp_path / "state.db", b"s" * 32, b"k" * 32)
    run = PlayedRun(link)
    for _ in range(50):
        link._state.get_run_status({run.run_id})
    assert len(looks) < 10
    run.finish()
    assert link._state.get_run_status({run.run_id})[run.run_id].status == "finished"
    link.close()


def test_whoever_waits_for_the_database_waits_longer(tmp_path: Path) -> None:
    """Each connection, of both its holders; and each keeps little of it in memory."""
    link = SuperLink(tmp_path / "state.db", b"s" * 32, b"k" * 32)
    for holder in (link._store, link._state):
        with holder._engine.connect() as connection:  # type: ignore[union-attr]
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("busy_timeout", "cache_size", "journal_mode")
            ]
        assert found == [BUSY_MS, -CACHE_KIB, "wal"]
    link.close()


@pytest.mark.no_cover
def test_a_message_may_take_long_to_arrive(tmp_path: Path) -> None:
    """Flower drops it when no object of it came for three minutes."""
    link = SuperLink(tmp_path / "state.db", b"s" * 32, b"k" * 32)
    run = PlayedRun(link)
    tree = ObjectTree(object_id="ab" * 32)
    session = run.state.start_session(run.run_id)
    assert run.state.preregister_object_tree(tree, session) == [tree.object_id]
    (row,) = link._store.query("SELECT expires_at FROM object_push_sessions", {})
    ends = datetime.fromisoformat(str(row["expires_at"])).replace(tzinfo=UTC)
    left_s = (ends - datetime.now(UTC)).total_seconds()
    assert PUSH_SESSION_S / 2 < left_s <= PUSH_SESSION_S
    link.close()
