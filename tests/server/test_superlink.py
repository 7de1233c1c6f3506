"""Flower's SuperLink as it is used here: the contract with its private parts, and its disk."""

import inspect
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app.message import remove_content_from_message
from flwr.common.serde import recorddict_to_proto
from flwr.proto.error_pb2 import Error
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from hypothesis import given
from hypothesis import strategies as st

from server import superlink as adapter
from server.sealed_objects import SealedObjectStore
from server.superlink import SuperLink, flaw_of_push
from tests.server.flower_run import PlayedRun, record_of, reply_to
from tests.server.site_client import SiteKeys

KEY = bytes(range(32))
# No part of it repeats, so that finding it is no chance and missing it neither.
UPDATE = np.random.default_rng(11).standard_normal(300_000).astype(np.float32)
TRACE = UPDATE.tobytes()[4000:4064]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[SuperLink]:
    """A new SuperLink."""
    made = SuperLink(tmp_path / "state.db", b"exec secret", KEY)
    yield made
    made.close()


def on_disk(folder: Path) -> bytes:
    """Every byte below a folder."""
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_is_used_of_flower_is_still_there() -> None:
    """Names, parameters and tables; a new version that changes one fails here first."""
    assert list(inspect.signature(create_app).parameters) == ["config", "superlink_lifespan_class"]
    assert list(inspect.signature(SuperLinkLifespan.__init__).parameters) == [
        "self",
        "config",
        "state_factory",
    ]
    assert "database" in inspect.signature(SuperLinkLifespanConfig).parameters
    assert ObjectStoreFactory("x").store_instance is None
    for name in (
        "create_node", "delete_node", "get_node_info", "get_node_id_by_public_key",
        "get_run_info", "cleanup_run",
    ):  # fmt: skip
        assert callable(getattr(LinkState, name)), name
    for name in ("put", "get", "clear", "initialize", "session", "query"):
        assert callable(getattr(SqlObjectStore, name)), name


def test_flowers_application_looks_into_the_sealed_database_alone(link: SuperLink) -> None:
    """Whatever it asks for its state, it gets ours; node authentication is on."""
    state = link.app.state
    assert state.linkstate_factory is state.runtime_state_factory is link._links
    assert isinstance(state.linkstate_factory.state().object_store, SealedObjectStore)
    assert state.superlink_lifespan.state_factory is link._links
    assert isinstance(state.superlink_lifespan.objectstore_factory.store(), SealedObjectStore)
    assert state.enable_supernode_auth is True
    assert state.superexec_auth_secret == b"exec secret"
    assert state.superlink_lifespan.config.isolation == "process"
    assert state.superlink_lifespan.config.runtime_dependency_install is False


def test_every_way_of_flowers_to_its_state_is_one_of_the_two() -> None:
    """No handler keeps a factory of its own beside the application's."""
    import flwr.superlink.dependencies.linkstate as link_dependency

    assert "linkstate_factory" in inspect.getsource(link_dependency.get_linkstate)
    source = inspect.getsource(create_app)
    assert source.count("= linkstate_factory\n") == 2
    assert "superlink_lifespan_class(config, linkstate_factory)" in source


def stored_reply(link: SuperLink) -> tuple[PlayedRun, str]:
    """An update of a site in the store, as it waits for the server's part."""
    keys = SiteKeys("site-a")
    link.register("site-a", keys.node_key)
    node = link.nodes()[keys.node_key].node_id
    assert link._state.activate_node(node, 30.0)
    run = PlayedRun(link)
    return run, run.ask(node, record_of(UPDATE))


def test_an_update_is_never_on_disk_in_clear(link: SuperLink, tmp_path: Path) -> None:
    """Not while it waits, not once it is dropped, in no file of the database."""
    run, message_id = stored_reply(link)
    assert (tmp_path / "state.db-wal").exists()
    assert TRACE not in on_disk(tmp_path)
    assert len(on_disk(tmp_path)) > UPDATE.nbytes
    run.finish()
    assert message_id
    assert TRACE not in on_disk(tmp_path)


def test_nodes_are_those_that_were_registered_and_not_put_out(link: SuperLink) -> None:
    """A key that was put out never comes back."""
    first, second = SiteKeys("a"), SiteKeys("b")
    link.register("a", first.node_key)
    link.register("b", second.node_key)
    nodes = link.nodes()
    assert {nodes[key].name for key in nodes} == {"a", "b"}
    assert not nodes[first.node_key].online
    with pytest.raises(ValueError, match="in use"):
        link.register("c", first.node_key)
    link.unregister(nodes[first.node_key])
    assert set(link.nodes()) == {second.node_key}
    with pytest.raises(ValueError, match="in use"):
        link.register("a", first.node_key)


def test_runs_that_ended_leave_nothing(link: SuperLink, tmp_path: Path) -> None:
    """Messages and objects go, and the room they took; a run under way keeps its own."""
    run, _ = stored_reply(link)
    assert link.sweep() == 0
    assert len(link._store) > 0
    assert run.state.finish_task(run.task_id, "failed", "")
    assert link.sweep() == 1
    assert len(link._store) == 0
    assert link.sweep() == 0
    assert len(on_disk(tmp_path)) < UPDATE.nbytes
    assert [entry["status"] for entry in link.runs()] == ["finished:failed"]


def test_a_database_in_use_is_made_smaller_another_time(link: SuperLink, tmp_path: Path) -> None:
    """It is no error."""
    import sqlite3

    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.01))
        link._vacuum()
    connection.close()


def test_a_run_does_not_die_because_nothing_served(link: SuperLink, tmp_path: Path) -> None:
    """Its process could give no sign of life meanwhile; a run that has ended stays so."""
    run, ended = PlayedRun(link), PlayedRun(link)
    ended.finish()
    link._store.query("UPDATE task SET active_until = '2001-01-01 00:00:00.000000'")
    link.close()
    again = SuperLink(tmp_path / "state.db", b"exec secret", KEY)
    again._state._cleanup_expired_task_tokens()
    status = {entry["run_id"]: entry["status"] for entry in again.runs()}
    assert status == {str(run.run_id): "running", str(ended.run_id): "finished:completed"}
    again.close()


def test_a_run_whose_process_died_is_ended(link: SuperLink) -> None:
    """At once, and what it had asked waits for nobody."""
    run, asked = stored_reply(link)
    link.fail(str(run.run_id), "it died")
    assert [entry["status"] for entry in link.runs()] == ["finished:failed"]
    assert link._state.get_valid_message_ins(asked) is None


def test_objects_of_a_key_that_is_gone_can_be_dropped(link: SuperLink) -> None:
    """All of them, and the messages that were made of them."""
    _, asked = stored_reply(link)
    link.forget_objects()
    assert len(link._store) == 0
    assert link._state.get_valid_message_ins(asked) is None
    assert link.delivery.addressed() == set()


def test_a_site_is_told_of_a_message_once_all_of_it_has_come(link: SuperLink) -> None:
    """Before, it would ask for each object of it again and again."""
    keys = SiteKeys("site-a")
    link.register("site-a", keys.node_key)
    node = link.nodes()[keys.node_key].node_id
    assert link._state.activate_node(node, 30.0)
    run = PlayedRun(link)
    message_id = run.ask(node, record_of(UPDATE[:4]))
    assert link.delivery.addressed() == {keys.node_key}
    with link._store.session():
        link._store.query(
            "UPDATE objects SET is_available = 0 WHERE object_id = :name", {"name": message_id}
        )
    assert link.delivery.addressed() == set()
    link.forget_objects()
    assert link.delivery.addressed() == set()  # nor of one that nobody can fetch any more


def test_a_reply_is_handed_over_once_it_is_whole_and_may_be_announced_twice(
    link: SuperLink,
) -> None:
    """A site that did not hear that its announcement arrived makes it again."""
    keys = SiteKeys("site-a")
    link.register("site-a", keys.node_key)
    node = link.nodes()[keys.node_key].node_id
    state = link._state
    assert state.activate_node(node, 30.0)
    run = PlayedRun(link)
    message_id = run.ask(node, record_of(UPDATE[:4]))
    (message,) = state.get_message_ins(node, 1)
    reply = reply_to(message, record_of(UPDATE[4:9]))
    objects = get_all_nested_objects(reply)
    for last in (False, True):
        session = state.start_session(run.run_id)
        stored, missing = state.store_message_and_object_tree(
            remove_content_from_message(reply), get_object_tree(reply), session
        )
        assert stored
        assert state.get_message_res(message_ids={message_id}, run_id=run.run_id) == []
        assert missing[-1] == reply.object_id
        for name in missing if last else missing[:1]:
            assert state.store_object(run.run_id, session, name, objects[name].deflate())
    (found,) = state.get_message_res(message_ids={message_id}, run_id=run.run_id)
    assert found.metadata.message_id == reply.object_id


def test_whoever_asks_for_anything_stays_online_but_nobody_comes_back_by_it(
    link: SuperLink,
) -> None:
    """Signs of life are written together; who has gone offline is not heard of any more."""
    keys = [SiteKeys(f"site-{number}") for number in range(3)]
    for site in keys:
        link.register(site.name, site.node_key)
    nodes = {site.name: link.nodes()[site.node_key].node_id for site in keys}
    for name in ("site-0", "site-1"):
        assert link._state.activate_node(nodes[name], 0.5)
    for site in keys:
        link.life.heard(site.node_key)
    assert link._state.deactivate_node(nodes["site-1"])
    link.life.write()
    time.sleep(1.1)
    online = {name for name in nodes if link.nodes()[keys[int(name[-1])].node_key].online}
    assert online == {"site-0"}
    with link._store.session():
        link._store.query("UPDATE node SET online_until = 1.0", {})
    link.life.write()  # nobody was heard of since
    assert not any(found.online for found in link.nodes().values())


def reply(**changed: Any) -> bytes:
    """A push of one reply, with changes."""
    request = PushMessagesRequest()
    request.node.node_id = 5
    message = request.messages_list.add()
    message.metadata.src_node_id = changed.get("source", 5)
    message.content.SetInParent()
    tree = request.message_object_trees.add(object_id="a")
    for number in range(changed.get("objects", 1) - 1):
        tree.children.add(object_id=str(number))
    if "reason" in changed:
        message.error.CopyFrom(Error(code=1, reason=changed["reason"]))
    if "inline" in changed:
        message.content.CopyFrom(recorddict_to_proto(record_of(UPDATE[:3])))
    if "second" in changed:
        request.messages_list.add()
    content: bytes = request.SerializeToString()
    return content


def test_a_reply_of_the_sites_own_is_not_flawed() -> None:
    """With as many objects as it may have."""
    assert flaw_of_push(reply(), 1) == ""
    assert flaw_of_push(reply(objects=7), 7) == ""
    assert flaw_of_push(reply(reason="out of memory"), 1) == ""


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"\xff\xff", "message of Flower"),
        (b"", "one message"),
        (reply(second=1), "one message"),
        (reply(source=6), "own node"),
        (reply(source=1), "own node"),
        (reply(inline=1), "as objects"),
        (reply(objects=8), "at most 7 objects"),
        (reply(reason="x" * 3000), "reason"),
    ],
)
def test_each_flaw_of_a_reply_is_named(body: bytes, named: str) -> None:
    """In one line."""
    assert named in flaw_of_push(body, 7)


@given(st.binary(max_size=500))
def test_no_bytes_end_in_another_error(body: bytes) -> None:
    """Flawed or not."""
    assert isinstance(flaw_of_push(body, 7), str)


def test_a_deep_tree_is_no_way_around_the_count() -> None:
    """Protobuf refuses what is nested too deeply; what it takes is counted whole."""
    request = PushMessagesRequest.FromString(reply())
    tree: ObjectTree = request.message_object_trees[0]
    for number in range(90):
        tree = tree.children.add(object_id=str(number))
    assert "objects" in flaw_of_push(request.SerializeToString(), 7)
    for number in range(200):
        tree = tree.children.add(object_id=str(number))
    assert flaw_of_push(request.SerializeToString(), 1000) == "expected a message of Flower"


def test_a_run_has_a_bundle_and_settings(link: SuperLink) -> None:
    """Of a bundle that is none there are no settings; Flower could not start it either."""
    run = PlayedRun(link)
    (fab,) = {entry.fab_hash for entry in link._state.get_run_info(run_ids=[run.run_id])}
    assert link.order_of(str(run.run_id)) == (fab, {})


def test_headers_are_flowers() -> None:
    """In the lower case in which a server sees them."""
    assert (adapter.PUBLIC_KEY_HEADER, adapter.SIGNATURE_HEADER) == (
        b"flwr-public-key",
        b"flwr-signature",
    )
