"""What was handed over is not lost with the connection, or the process, that it was handed to.

Flower marks an instruction as delivered when a site asks for it, and forgets a reply when the
run's process asks for it, before either has it. Here

- a site that starts anew is asked again what it has not answered, also what is on its way to the
  connection that it had before;
- a reply is handed to the run's process when all of it has come, is there until that process says
  that it has it, and can be sent again by its site until then;
- an object that is handed in a second time, as after a restart, has been handed in.

Tables and methods of Flower's are used; tests/server/test_delivery.py pins them.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.supercore.constant import NodeStatus
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from flwr.supercore.state.schema.corestate_models import (
    ObjectPushSession,
    ObjectPushSessionPending,
    ObjectPushSessionRoot,
)
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import select

from server.sealed_objects import LARGE, Sealed, SealedObjectStore

_NO_OBJECT = (ValueError, UnexpectedObjectContentError, OSError)
_LET_IN = (
    f"UPDATE node SET status = '{NodeStatus.OFFLINE}' "  # noqa: S608 - a constant of Flower's
    f"WHERE node_id = :node AND status = '{NodeStatus.ONLINE}'"
)
_NOT_ANSWERED = "message_id NOT IN (SELECT reply_to_message_id FROM message_res)"
_ASK_AGAIN = (
    "UPDATE message_ins SET delivered_at = '' WHERE dst_node_id = :node "  # noqa: S608 - constant
    f"AND {_NOT_ANSWERED}"
)
_UNSEEN = (
    "UPDATE message_ins SET delivered_at = '' WHERE message_id = :message "  # noqa: S608 - constant
    f"AND {_NOT_ANSWERED}"
)
_SETTLED = (
    "UPDATE message_ins SET delivered_at = 'answered' WHERE dst_node_id = :node AND "
    "delivered_at = '' AND message_id IN (SELECT reply_to_message_id FROM message_res)"
)
_ADDRESSED = (
    "SELECT DISTINCT node.public_key FROM message_ins JOIN node ON node_id = dst_node_id "
    "WHERE delivered_at = '' AND created_at + ttl > :now AND message_id NOT IN "
    "(SELECT object_id FROM objects WHERE is_available = 0)"
)
_REPLIES = "SELECT message_id, reply_to_message_id FROM message_res WHERE delivered_at = ''"
_HAND_OUT_AGAIN = "UPDATE message_res SET delivered_at = ''"
_FORGET = ("DELETE FROM message_ins", "DELETE FROM message_res", "DELETE FROM object_push_sessions")


class Delivery:
    """Instructions and replies of one SuperLink.

    Args:
        state: Flower's link state over SQLite; changed in place.
        store: Its objects, in the same database.
    """

    def __init__(self, state: Any, store: SealedObjectStore) -> None:
        self._state, self._store = state, store
        self._replies: Any = state.get_message_res
        self._delete: Any = state.delete_messages
        self._put: Any = state.store_object
        self._cleanup: Any = state.cleanup_run
        self._lock, self._storing = threading.Lock(), threading.Lock()
        self._handed: dict[str, tuple[int, str]] = {}  # reply -> run, and what it answers
        self._arrived = set[str]()  # what is answered by replies that the run has
        state.get_message_res = self._hand_out
        state.delete_messages = self._delete_but_handed
        state.store_object = self._keep
        state.cleanup_run = self._clean
        store.deleted = self._received
        # Handed out by a process that is gone, to one that may not have it: it will ask.
        store.query(_HAND_OUT_AGAIN)

    def addressed(self) -> set[str]:
        """Public keys of the nodes for which a message waits that was not delivered.

        It comes last of its objects: who was told before would ask for each of them many times.
        """
        rows = self._store.query(_ADDRESSED, {"now": time.time()})
        return {bytes(row["public_key"]).decode() for row in rows}

    def returning(self, node_key: str) -> None:
        """A site starts anew: it is let in at once, and asked again what it has not answered.

        Flower refuses a node that died as long as it takes it for alive, up to a minute, and what
        that node was asked before would wait until the round's deadline.
        """
        node_id = self._state.get_node_id_by_public_key(node_key.encode())
        if node_id is None:
            return
        values = {"node": uint64_to_int64(node_id)}
        # Both tables lie in the store's database too. The time until which the node counts as
        # alive stays: a server that looks meanwhile must not take it for lost.
        with self._store.session():
            self._store.query(_LET_IN, values)
            self._store.query(_ASK_AGAIN, values)

    def unseen(self, answer: bytes) -> None:
        """Flower's answer to a site that asked for messages will not reach it: ask it again."""
        for message in PullMessagesResponse.FromString(answer).messages_list:
            self._store.query(_UNSEEN, {"message": message.metadata.message_id})

    def answered(self, node_key: str) -> None:
        """What a site has answered it is not asked again, also where it had to be asked anew."""
        node_id = self._state.get_node_id_by_public_key(node_key.encode())
        if node_id is not None:
            self._store.query(_SETTLED, {"node": uint64_to_int64(node_id)})

    def forget(self) -> None:
        """Drop every message: of those whose objects are gone nothing can be read."""
        with self._store.session():
            for order in _FORGET:
                self._store.query(order)

    def _hand_out(self, message_ids: Iterable[str], run_id: int) -> list[Any]:
        wanted = set(message_ids)
        with self._lock:
            arrived, self._arrived = self._arrived, set()
        # Cost: all in one, for SQLite has one writer at a time.
        self._delete(arrived)
        found: list[Any] = self._replies(wanted - self._in_part(wanted), run_id)
        with self._lock:
            for reply in found:
                names = reply.metadata
                self._handed[names.message_id] = (run_id, names.reply_to_message_id)
        return found

    def _in_part(self, message_ids: set[str]) -> set[str]:
        """Those of whose replies some objects are still to come, while they may."""
        root, waiting, push = ObjectPushSessionRoot, ObjectPushSessionPending, ObjectPushSession
        with self._store.session() as session:
            unfinished = set(
                session.scalars(
                    select(root.root_object_id)
                    .join(waiting, waiting.session_id == root.session_id)
                    .join(push, push.session_id == root.session_id)
                    .where(push.expires_at > now())
                )
            )
            if not unfinished:
                return set()
            return {
                row["reply_to_message_id"]
                for row in self._store.query(_REPLIES)
                if row["message_id"] in unfinished
            } & message_ids

    def _delete_but_handed(self, message_ins_ids: Iterable[str]) -> None:
        with self._lock:
            kept = {answers for _, answers in self._handed.values()}
        self._delete(set(message_ins_ids) - kept)

    def _received(self, object_id: str) -> None:
        """An object was deleted; where it is a reply, the run's process has it now."""
        with self._lock:
            _, answers = self._handed.pop(object_id, (0, ""))
            if answers:
                self._arrived.add(answers)

    def _keep(
        self, run_id: int, session_id: str, object_id: str, content: bytes | memoryview
    ) -> bool:
        with ExitStack() as stack:
            whole: bytes | memoryview | Sealed = content
            if len(content) >= LARGE:
                # Flower refuses what cannot be sealed, in its own words.
                with suppress(*_NO_OBJECT):
                    whole = stack.enter_context(self._store.seal(object_id, content))
            # Cost: SQLite has one writer at a time, and whoever waits for it sleeps too long.
            with self._storing:
                stored: bool = self._put(run_id, session_id, object_id, whole)
        # Whoever got no answer hands it in again, and Flower waits for it no more.
        return stored or self._store.holds(object_id)

    def _clean(self, run_id: int) -> None:
        with self._lock:
            for reply in [name for name, (run, _) in self._handed.items() if run == run_id]:
                del self._handed[reply]
        self._cleanup(run_id)
