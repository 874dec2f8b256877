"""Brings a SQLite file up to date when it is opened: never without a copy of the old state, never backwards.

The schema itself is in `migrations.py`.
"""

import sqlite3
from pathlib import Path

from server.core.errors import ServiceError
from server.storage.database import DatabaseError
from server.storage.sqlite.backups import drop_copies, reading, save_copy
from server.storage.sqlite.database import SqliteDatabase
from server.storage.sqlite.migrations import applied, migrate, pending, unknown


def bring_up_to_date(database: SqliteDatabase, path: Path) -> None:
    """Apply the missing migrations, after a copy of a database that already had some.

    Raises DatabaseError when a newer program made it, or when it cannot be copied or written.
    """
    with reading(path) as connection:
        missing = pending(connection)
        if newer := unknown(connection):
            raise DatabaseError(
                f"{path} is newer than this program ({newer[0]}); use the version that made it, or "
                f"`parley restore FILE --replace` with a backup that is older"
            )
    if missing:
        database.migrate(lambda connection: _backed_up_and_migrated(connection, path))
    drop_copies(path)


def _backed_up_and_migrated(connection: sqlite3.Connection, path: Path) -> None:
    """Back up and migrate in one write transaction: another process may have migrated first, and none writes
    between copy and migration."""
    before = len(applied(connection))
    if before and pending(connection):
        try:
            save_copy(path, before + 1)
        except ServiceError as error:
            raise DatabaseError(
                f"{path} must be migrated, and cannot be copied before: {error.message}"
            ) from None
    migrate(connection)
