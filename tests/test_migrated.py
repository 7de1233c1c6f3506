"""A copied database is the one that Flower's migrations make, and each test's own."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from flwr.supercore import sql_mixin
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.state.alembic.utils import run_migrations

from tests.migrated import migrated_once


def described(path: Path) -> dict[str, str]:
    """Each table and index, its lines in an order of their own; and which migration was the last.

    Opened anew, written into, and closed.
    """
    store = SqlObjectStore(str(path))
    store.initialize()
    assert store._engine is not None
    store._engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("select name, coalesce(sql, '') from sqlite_master").fetchall()
        last = database.execute("select * from alembic_version").fetchall()
        database.execute("create table if not exists written (number integer)")
    return {name: "".join(sorted(sql)) for name, sql in tables} | {"": str(last)}


@pytest.mark.no_cover
def test_a_copy_is_what_the_migrations_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table by table; what is written into one is in no other, and stays in its own."""
    monkeypatch.setattr(sql_mixin, "run_migrations", run_migrations)
    real = described(tmp_path / "real")
    with migrated_once():
        found = [described(tmp_path / name) for name in ("first", "second", "third")]
        again = described(tmp_path / "second")
    assert vars(sql_mixin)["run_migrations"] is run_migrations
    assert found == [real] * 3
    assert again == real | {"written": "".join(sorted("CREATE TABLE written (number integer)"))}
