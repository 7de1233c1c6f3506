"""Flower's database, migrated once in a process that tests, and copied from then on.

From nothing it takes Flower a third of a second of processor time, and twice that where coverage
is measured: for each SuperLink and each store of a test. What is copied is what it made itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from unittest.mock import patch

from flwr.supercore import sql_mixin
from sqlalchemy import Engine


@contextmanager
def migrated_once() -> Iterator[None]:
    """Within it the second new database and all later ones are copies of the first."""
    migrate = vars(sql_mixin)["run_migrations"]
    first = sqlite3.connect(":memory:", check_same_thread=False)

    def migrated(engine: Engine) -> None:
        is_new = _is_empty(engine)
        if is_new and not _holds_nothing(first):
            _copied(engine, first, back=True)
        migrate(engine)
        if is_new and _holds_nothing(first):
            _copied(engine, first, back=False)

    with closing(first), patch.object(sql_mixin, "run_migrations", migrated):
        yield


def _is_empty(engine: Engine) -> bool:
    with closing(engine.raw_connection()) as connection:
        file = connection.driver_connection
        return isinstance(file, sqlite3.Connection) and _holds_nothing(file)


def _copied(engine: Engine, first: sqlite3.Connection, *, back: bool) -> None:
    with closing(engine.raw_connection()) as connection:
        file = connection.driver_connection
        assert isinstance(file, sqlite3.Connection)
        if back:
            first.backup(file)
        else:
            file.backup(first)


def _holds_nothing(database: sqlite3.Connection) -> bool:
    (count,) = database.execute("select count(*) from sqlite_master").fetchone()
    return bool(count == 0)
