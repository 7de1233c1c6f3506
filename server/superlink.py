"""Flower's SuperLink as an object: its application, its nodes, and what it keeps on disk.

Flower's private modules are used here and in the modules that this one takes from `server`, and by
the server's processes nowhere else; tests/server/test_superlink.py pins what is used.
"""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from fastapi import FastAPI
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import (
    HEARTBEAT_DEFAULT_INTERVAL,
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    TRANSPORT_TYPE_GRPC_RERE,
    Status,
    SubStatus,
)
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    FLWR_IN_MEMORY_DB_NAME,
    NodeStatus,
)
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.state.schema.corestate_models import Task
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, get_federation_manager
from flwr.superlink.main import create_app
from google.protobuf.message import DecodeError
from sqlalchemy import update

from server.delivery import Delivery
from server.middleware import lean
from server.sealed_objects import SealedObjectStore
from server.seldom import eased, patient
from server.short_way import ShortWay
from server.signs_of_life import SignsOfLife

_LOGGER = logging.getLogger("murmura.server")
PUBLIC_KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.encode()
SIGNATURE_HEADER = FLEET_HTTP_SIGNATURE_HEADER.encode()
_LONGEST_REASON = 2000
_SPARED_S = 60.0
_KEPT = (NodeStatus.REGISTERED, NodeStatus.ONLINE, NodeStatus.OFFLINE)


@dataclass(frozen=True, slots=True)
class Node:
    """A site as Flower knows it.

    Attributes:
        node_id: Flower's number of it.
        name: The site's name.
        online: Whether its last heartbeat is recent.
    """

    node_id: int
    name: str
    online: bool


class SuperLink:
    """One SuperLink with node authentication, whose apps run in processes of their own.

    Args:
        database: SQLite file; made where there is none.
        exec_secret: What flower-superexec must prove to run an app.
        object_key: Seals what sites send; a new one makes what is left of an old one void.

    Attributes:
        delivery: What is handed to whom.
    """

    def __init__(self, database: Path, exec_secret: bytes, object_key: bytes) -> None:
        store = SealedObjectStore(database, object_key)
        store.initialize()
        patient(store)
        objects = ObjectStoreFactory(str(database))
        objects.store_instance = store
        self._database, self._store = database, store
        self._links = LinkStateFactory(str(database), get_federation_manager(), objects)
        self._state = eased(patient(self._links.state()))
        self.delivery = Delivery(self._state, store)
        self._spare()
        self._swept, self.life = set[int](), SignsOfLife(store)
        # By the name in its settings Flower would open a database of its own, without a seal; so it
        # gets one in memory, which is put aside below.
        links = self._links

        class Lifespan(SuperLinkLifespan):
            def __init__(self, config: SuperLinkLifespanConfig, _own: LinkStateFactory) -> None:
                super().__init__(config, links)

        self.app: FastAPI = lean(create_app(_settings(exec_secret), Lifespan))
        self.app.state.linkstate_factory = self._links
        self.app.state.runtime_state_factory = self._links
        self.way = ShortWay(self.app, store)

    def _spare(self) -> None:
        """Runs under way count as alive: while nothing served, none could give a sign of life."""
        until = now() + timedelta(seconds=_SPARED_S)
        with self._store.session() as session:
            session.execute(
                update(Task)
                .where(
                    Task.running_at.is_not(None),
                    Task.finished_at.is_(None),
                    Task.active_until < until,
                )
                .values(active_until=until)
            )

    def lifespan(self) -> AbstractAsyncContextManager[Mapping[str, Any] | None]:
        """What Flower does when it starts and stops."""
        return self.app.router.lifespan_context(self.app)

    def nodes(self) -> dict[str, Node]:
        """Every node that may take part, by its public key in PEM."""
        found = self._state.get_node_info(owner_aids=[NOOP_FLWR_AID], statuses=list(_KEPT))
        return {
            info.public_key.decode(): Node(
                info.node_id, info.name, info.status == NodeStatus.ONLINE
            )
            for info in found
        }

    def register(self, name: str, node_key: str) -> None:
        """What `flwr supernode register` does. Raises ValueError if the key was used before."""
        self._state.create_node(
            NOOP_FLWR_AID,
            NOOP_ACCOUNT_NAME,
            node_key.encode(),
            HEARTBEAT_DEFAULT_INTERVAL,
            name=name,
        )

    def unregister(self, node: Node) -> None:
        """From now on the node is no part of any run; its key is never accepted again."""
        self._state.delete_node(NOOP_FLWR_AID, node.node_id)

    def forget_objects(self) -> None:
        """Drop every object: those of a key that nobody has any more; and the messages of them."""
        self._store.clear()
        self.delivery.forget()
        self._vacuum()

    def sweep(self) -> int:
        """Drop messages and objects of runs that have ended; returns how many runs those were.

        Flower does so when it is asked of the run the next time, which may be never.
        """
        runs = self._state.get_run_info()
        ended = {run.run_id for run in runs if run.status.status == Status.FINISHED} - self._swept
        for run_id in ended:
            self._state.cleanup_run(run_id)
        self._swept |= ended
        if ended and all(run.status.status == Status.FINISHED for run in runs):
            self._vacuum()
        return len(ended)

    def runs(self) -> list[dict[str, str]]:
        """Every run: Flower's number and status."""
        return [
            {
                "run_id": str(run.run_id),
                "status": ":".join(filter(None, (run.status.status, run.status.sub_status))),
            }
            for run in self._state.get_run_info()
        ]

    def order_of(self, run_id: str) -> tuple[str, dict[str, Any]]:
        """SHA-256 of a run's bundle, and its settings: the bundle's, the run's own above them."""
        (run,) = self._state.get_run_info(run_ids=[int(run_id)])
        bundle = self._state.get_fab(run.fab_hash)
        try:
            settings = get_fused_config_from_fab(b"" if bundle is None else bundle.content, run)
        except (ValueError, KeyError, TypeError, OSError, BadZipFile):
            settings = {}  # no app that Flower could start
        return str(run.fab_hash), dict(settings)

    def fail(self, run_id: str, why: str) -> None:
        """End a run whose process is gone; what waits for anybody in it is dropped."""
        (run,) = self._state.get_run_info(run_ids=[int(run_id)])
        if run.primary_task_id is not None:
            self._state.finish_task(run.primary_task_id, SubStatus.FAILED, why)
            self._state.cleanup_run(run.run_id)

    def close(self) -> None:
        """Let go of the database."""
        for holder in (self._store, self._state):
            engine = getattr(holder, "_engine", None)
            if engine is not None:
                engine.dispose()

    def _vacuum(self) -> None:
        """Give back the room of what was dropped, in the write-ahead log too."""
        try:
            with closing(sqlite3.connect(self._database, isolation_level=None)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            _LOGGER.info("the database is in use; its free room is given back another time")


def _settings(exec_secret: bytes) -> SuperLinkLifespanConfig:
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host="127.0.0.1",
        port=0,
        insecure=True,
        certificates=None,
        superexec_auth_secret=exec_secret,
        authn_plugin=NoOpControlAuthnPlugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=None,
        ssl_keyfile=None,
        database=FLWR_IN_MEMORY_DB_NAME,
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )


def flaw_of_push(body: bytes, most_objects: int) -> str:
    """Why a site's `push-messages` is refused; "" if it is one reply of its own, content apart.

    Args:
        body: The request.
        most_objects: Parts that a reply may have.
    """
    request = PushMessagesRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return "expected a message of Flower"
    if (len(request.messages_list), len(request.message_object_trees)) != (1, 1):
        return "expected one message and the names of its objects"
    message, tree = request.messages_list[0], request.message_object_trees[0]
    flaws = {
        "expected a reply of this site's own node": (
            message.metadata.src_node_id != request.node.node_id
        ),
        # Secrecy: Flower writes what lies in the message itself to its database in clear.
        "expected the content as objects, not within the message": message.content.ByteSize() > 0,
        f"expected a reason of at most {_LONGEST_REASON} characters": (
            len(message.error.reason) > _LONGEST_REASON
        ),
        f"expected at most {most_objects} objects": (
            sum(1 for _ in iterate_object_tree(tree)) > most_objects
        ),
    }
    return next((flaw for flaw, found in flaws.items() if found), "")


def reply_of_push(body: bytes) -> dict[str, str] | None:
    """Kind, run and hash of the reply in a `push-messages`; None: it tells of a refusal alone."""
    request = PushMessagesRequest.FromString(body)
    message, tree = request.messages_list[0], request.message_object_trees[0]
    if message.HasField("error"):
        return None
    kind = message.metadata.message_type.rpartition(".")[2]
    return {"kind": kind, "run": str(message.metadata.run_id), "sha256": tree.object_id}
