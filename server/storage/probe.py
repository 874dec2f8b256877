"""Looks at the database that settings name without changing it, for `parley doctor`. Migrates nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from server.storage.database import DatabaseError
from server.storage.postgres import migrations as postgres_migrations
from server.storage.sqlite.backups import DATABASE, reading
from server.storage.sqlite.migrations import applied, pending, unknown

SQLITE_VERSION = sqlite3.sqlite_version


class Schema(NamedTuple):
    """How far a database is migrated."""

    has_tables: bool
    pending: int
    newer: int
    """Migrations that only a newer program knows."""
    is_moving: bool = False
    """Whether `parley migrate-store` into it has not ended."""


def keeps_a_log(folder: Path) -> bool:
    """Return whether SQLite can keep its log (WAL) in a folder. Raises OSError when it cannot write there."""
    try:
        with closing(sqlite3.connect(folder / "probe.db")) as connection:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            connection.execute("CREATE TABLE probe (one)")
            connection.commit()
            return bool(mode == "wal")
    except sqlite3.Error as error:
        raise OSError(str(error)) from None


def sqlite_schema(folder: Path) -> Schema:
    """Return how far the database in a folder is migrated. Raises DatabaseError when it cannot be read."""
    path = folder / DATABASE
    if not path.exists():
        return Schema(has_tables=False, pending=0, newer=0)
    if (damage := path.with_name(f"{DATABASE}-damaged")).exists():
        raise DatabaseError(f"{path} is damaged: {damage.read_text(errors='replace').strip()}")
    with reading(path) as connection:
        return Schema(bool(applied(connection)), len(pending(connection)), len(unknown(connection)))


async def postgres_schema(url: str) -> Schema:
    """Return how far the database at `url` is migrated. Raises DatabaseError when it cannot be reached."""
    try:
        from server.storage.postgres.database import PostgresDatabase
    except ImportError:
        raise DatabaseError("PostgreSQL needs an extra: install parley-server[postgres]") from None
    database = await PostgresDatabase.connect(url, 1)
    try:
        if not await database.read(postgres_migrations.has_tables):
            return Schema(has_tables=False, pending=0, newer=0)
        done = await database.read(postgres_migrations.done)
        known = len(postgres_migrations.MIGRATIONS)
        is_moving = await database.read(postgres_migrations.is_moving)
        return Schema(True, max(0, known - done), max(0, done - known), is_moving)
    finally:
        await database.aclose()
