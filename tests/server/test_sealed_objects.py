"""The store of objects: nothing of it can be read from disk, and what is deleted is gone."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    UnexpectedObjectContentError,
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
)
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.task_identity import TaskIdentity

from server.sealed_objects import SealedObjectStore
from tests.server.flower_run import record_of

KEY = bytes(range(32))
# No part of it repeats, so that finding it is no chance and missing it neither.
UPDATE = np.random.default_rng(11).standard_normal(300_000).astype(np.float32)
TRACE = UPDATE.tobytes()[4000:4064]


def on_disk(folder: Path) -> bytes:
    """Every byte below a folder."""
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SealedObjectStore]:
    """A new one."""
    made = SealedObjectStore(tmp_path / "state.db", KEY)
    made.initialize()
    yield made
    closed(made)


def closed(store: SqlObjectStore) -> None:
    """Let go of the database."""
    assert store._engine is not None
    store._engine.dispose()


def kept(store: SqlObjectStore, record: RecordDict) -> dict[str, bytes]:
    """What the store was given: every part of a record, by its name."""
    store.preregister(1, get_object_tree(record))
    content = {name: entry.deflate() for name, entry in get_all_nested_objects(record).items()}
    for name, whole in content.items():
        store.put(name, whole)
    return content


def files(tmp_path: Path) -> list[Path]:
    """Large objects on disk."""
    return sorted((tmp_path / "objects").iterdir())


def test_nothing_is_on_disk_in_clear(store: SealedObjectStore, tmp_path: Path) -> None:
    """Neither of the large ones nor of the small ones, and the files are their owner's alone."""
    kept(store, record_of(UPDATE))
    small = np.random.default_rng(2).standard_normal(100).astype(np.float32)
    kept(store, record_of(small))
    assert TRACE not in on_disk(tmp_path)
    assert small.tobytes()[64:128] not in on_disk(tmp_path)
    assert len(on_disk(tmp_path)) > UPDATE.nbytes
    assert len(files(tmp_path)) == 1


def test_without_the_seal_it_would_be_found(tmp_path: Path) -> None:
    """So the search of the test above can find one: Flower's own store leaves it there."""
    store = SqlObjectStore(str(tmp_path / "state.db"))
    store.initialize()
    TaskIdentity.run_id = 1
    record = record_of(UPDATE)
    kept(store, record)
    assert TRACE in on_disk(tmp_path)
    store.delete(record.object_id)
    assert len(store) == 0
    assert TRACE in on_disk(tmp_path)
    closed(store)


def test_objects_come_back_as_they_went(store: SealedObjectStore) -> None:
    """Under their names; another content under a name is refused, as Flower refuses it."""
    record = record_of(UPDATE)
    store.preregister(1, get_object_tree(record))
    assert store.get(record.object_id) == b""
    assert store.get(get_object_id(b"x")) is None
    content = kept(store, record)
    assert {name: store.get(name) for name in content} == content
    assert kept(store, record) == content
    with pytest.raises(ValueError, match="expected the content"):
        store.put(record.object_id, b"other")
    with pytest.raises(UnexpectedObjectContentError):
        store.put(get_object_id(b"no object of Flower"), b"no object of Flower")


def test_what_nobody_announced_is_not_kept(store: SealedObjectStore, tmp_path: Path) -> None:
    """Nor does it leave a file."""
    for entry in get_all_nested_objects(record_of(UPDATE)).values():
        with pytest.raises(NoObjectInStoreError):
            store.put(entry.object_id, entry.deflate())
    assert files(tmp_path) == []


def test_what_is_deleted_is_gone_at_once(store: SealedObjectStore, tmp_path: Path) -> None:
    """With its file; a part that another message has too stays until that goes."""
    first, second = record_of(UPDATE), record_of(UPDATE)
    second["more"] = record_of(UPDATE[:3])["vectors"]
    kept(store, first)
    kept(store, second)
    assert len(files(tmp_path)) == 1
    store.delete(first.object_id)
    assert len(files(tmp_path)) == 1
    store.delete(second.object_id)
    assert files(tmp_path) == []
    assert len(store) == 0
    kept(store, first)
    store.clear()
    assert files(tmp_path) == []


def test_a_file_that_is_lost_is_an_object_that_is_missing(
    store: SealedObjectStore, tmp_path: Path
) -> None:
    """No error that ends anything."""
    content = kept(store, record_of(UPDATE))
    (path,) = files(tmp_path)
    path.unlink()
    assert store.get(path.name) is None
    assert [name for name in content if store.get(name) is None] == [path.name]


@pytest.mark.parametrize("name", ["../../pki/ca.key", "..", "", "x" * 64, "/etc/passwd", "a\0b"])
def test_a_name_that_is_a_path_deletes_nothing(
    store: SealedObjectStore, tmp_path: Path, name: str
) -> None:
    """Sites say what they have received: whatever they like."""
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.key").write_text("key")
    before = on_disk(tmp_path / "pki")
    store.delete(name)
    store._unlink(f"../pki/{name}")
    store._unlink("../pki/ca.key")
    assert on_disk(tmp_path / "pki") == before


def test_a_sealed_object_does_not_pass_for_another(
    store: SealedObjectStore, tmp_path: Path
) -> None:
    """Nor is it opened under another key: it counts as missing."""
    records = [record_of(UPDATE[:10]), record_of(UPDATE[10:20])]
    for record in records:
        kept(store, record)
    first, second = (record.object_id for record in records)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        swap = "UPDATE objects SET content = (SELECT content FROM objects WHERE object_id = ?)"
        connection.execute(f"{swap} WHERE object_id = ?", (first, second))
    connection.close()
    assert store.get(first)
    assert store.get(second) is None
    other = SealedObjectStore(tmp_path / "state.db", bytes(32))
    other.initialize()
    assert other.get(first) is None
    closed(other)


@pytest.mark.parametrize("length", [0, 11, 27, 28, 5000, -1])
def test_a_large_object_that_is_not_whole_is_missing(
    store: SealedObjectStore, tmp_path: Path, length: int
) -> None:
    """Cut short anywhere."""
    kept(store, record_of(UPDATE))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert store.get(path.name) is None


@pytest.mark.parametrize("place", [0, 12, 600_000, -1])
def test_a_large_object_that_was_changed_is_missing(
    store: SealedObjectStore, tmp_path: Path, place: int
) -> None:
    """One bit of nonce, content or tag."""
    kept(store, record_of(UPDATE))
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert store.get(path.name) is None


def test_a_large_object_is_refused_before_it_has_a_name(
    store: SealedObjectStore, tmp_path: Path
) -> None:
    """Another content than its name's, and what is no object of Flower's; nothing stays of them."""
    record = record_of(UPDATE)
    store.preregister(1, get_object_tree(record))
    large = max(get_all_nested_objects(record).values(), key=lambda part: len(part.deflate()))
    content = large.deflate()
    for wrong in (content[:-1] + b"?", content[:-1], b"\0" * 50_000):
        with pytest.raises(ValueError, match="expected the content"):
            store.put(large.object_id, wrong)
    for no_object in (content[1:], content[:-1], content + b"more", b"ArrayChunk  9\0" + content):
        with pytest.raises(UnexpectedObjectContentError):
            store.put(get_object_id(no_object), memoryview(no_object))
    assert files(tmp_path) == []


def test_what_was_sealed_before_is_kept_or_leaves_nothing(
    store: SealedObjectStore, tmp_path: Path
) -> None:
    """Both in one step; the object comes back behind whatever is wanted before it."""
    record = record_of(UPDATE)
    large = max(get_all_nested_objects(record).values(), key=lambda part: len(part.deflate()))
    name, content = large.object_id, large.deflate()
    with pytest.raises(NoObjectInStoreError), store.seal(name, content) as sealed:
        store.put(name, sealed)
    assert files(tmp_path) == []
    store.preregister(1, get_object_tree(record))
    assert not store.holds(name)
    with store.seal(name, memoryview(content)) as sealed:
        assert store.get(name) == b""
        store.put(name, sealed)
    assert store.holds(name)
    assert [path.name for path in files(tmp_path)] == [name]
    assert store.get_behind(name, lambda length: f"{length}:".encode()) == (
        f"{len(content)}:".encode() + content
    )
