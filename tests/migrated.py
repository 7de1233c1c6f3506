"""Flower's database, migrated once in a process that tests, and copied from then on.

From nothing it takes Flower a third of a second of processor time, and twice that where coverage
is measured: for each SuperLink and each store of a test. What is copied is what it made itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from flwr.supercore import sql_mixin
from sqlalchemy import Engine


@contextmanager
def migrated_once() -> Iterator[None]:
    """Within it the second new database and all later ones are copies of the first."""
    migrate, first = sql_mixin.run_migrations, sqlite3.connect(":memory:", check_same_thread=False)

    def migrated(engine: Engine) -> None:
        with closing(engine.raw_connection()) as connection:
            file = connection.driver_connection
            new = isinstance(file, sqlite3.Connection) and _is_empty(file)
            if new and not _is_empty(first):
                first.backup(file)
        migrate(engine)
        if new and _is_empty(first):
            with closing(engine.raw_connection()) as connection:
                connection.driver_connection.backup(first)

    sql_mixin.run_migrations = migrated
    try:
        yield
    finally:
        sql_mixin.run_migrations = migrate
        first.close()


def _is_empty(database: sqlite3.Connection) -> bool:
    return database.execute("select count(*) from sqlite_master").fetchone() == (0,)
