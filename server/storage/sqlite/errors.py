"""What SQLite's errors mean to a write, and what a caller is told of them. Their texts stay here."""

import sqlite3

from server.core.errors import FailedPrecondition, ResourceExhausted, ServiceError, StorageUnavailable

_OF_THE_FILE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def concerns_the_file(error: sqlite3.Error) -> bool:
    """Whether every write of a commit fails with this one; others are one write's own, such as wrong SQL."""
    return _code(error) in _OF_THE_FILE


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether other writes will fail too, and not because of a lock or of who may write."""
    return _code(error) in _OF_THE_FILE - {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_READONLY,
    }


def storage_error(error: sqlite3.Error) -> ServiceError:
    """What a caller is told."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted("the disk is full; nothing was written", reason="DISK_FULL")
    if code == sqlite3.SQLITE_READONLY:
        return FailedPrecondition("the database is read-only; nothing was written", reason="READ_ONLY")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageUnavailable("the database is busy; nothing was written, try again", retry_after=1)
    return StorageUnavailable("the database could not be written; nothing was stored")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
