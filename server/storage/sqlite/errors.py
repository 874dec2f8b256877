"""Classifies SQLite's errors for a write, and returns the errors for callers, without SQLite's texts."""

import sqlite3
import traceback

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
    """Return whether the error fails every write of a commit; other errors concern one write, such as invalid
    SQL."""
    return _code(error) in _OF_THE_FILE


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Return whether other writes will fail too, for reasons other than a lock or permissions."""
    return _code(error) in _OF_THE_FILE - {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_READONLY,
    }


def storage_error(error: sqlite3.Error) -> ServiceError:
    """Return the error for callers."""
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted("the disk is full; nothing was written", reason="DISK_FULL")
    if code == sqlite3.SQLITE_READONLY:
        return FailedPrecondition("the database is read-only; nothing was written", reason="READ_ONLY")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageUnavailable("the database is busy; nothing was written, try again", retry_after=1)
    return StorageUnavailable("the database could not be written; nothing was stored")


def finish_statements(error: BaseException) -> None:
    """End the statements that a failed work has begun and not read. As long as somebody holds the error its frames
    hold them, and with them the view of the file that the connection had: reads would see no later commit, and
    writes would fail as soon as another process has written."""
    traceback.clear_frames(error.__traceback__)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
