"""Classifies errors of PostgreSQL: which works can run again, which errors are bugs, and the messages for
callers and operators.

No text of PostgreSQL, and no password, becomes part of a message.
"""

import psycopg
import psycopg.conninfo
from psycopg_pool import PoolTimeout

from server.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    StorageUnavailable,
)
from server.storage.database import DatabaseError

_CONFLICTS = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction did nothing, and can be run again."""
_DISK_FULL = "53100"
_BUSY = frozenset({"53300", "55P03", "57014"})
_BUGS = ("22", "42", "0A", "XX")
"""Classes of errors that are bugs here, as wrong SQL is."""


class Lost(psycopg.OperationalError):
    """The connection was lost before COMMIT was sent: nothing was changed."""


class Uncertain(psycopg.OperationalError):
    """The connection was lost at COMMIT: it is unknown whether the changes were made."""


def did_nothing(error: BaseException) -> bool:
    """Return whether the transaction changed nothing."""
    return isinstance(error, Lost) or _state(error) in _CONFLICTS


def is_of_the_server(error: BaseException) -> bool:
    """Whether other writes will fail too: the server cannot be reached, or its disk is full."""
    state = _state(error)
    return state == _DISK_FULL or (
        isinstance(error, psycopg.OperationalError) and (not state or state.startswith("08"))
    )


def is_a_bug(error: BaseException) -> bool:
    """Return whether the error is a bug in the SQL."""
    return isinstance(error, psycopg.ProgrammingError) or _state(error).startswith(_BUGS)


def postgres_error(error: Exception) -> ServiceError:
    """Return the error for callers, without PostgreSQL's text."""
    state = _state(error)
    if isinstance(error, Uncertain):
        return StorageUnavailable("the database went away while this was stored; it may or may not be")
    if state == _DISK_FULL:
        return ResourceExhausted("the disk is full; nothing was written", reason="DISK_FULL")
    if state == "25006":
        return FailedPrecondition("the database is read-only; nothing was written", reason="READ_ONLY")
    if state == "54000":
        return InvalidArgument(
            "a number or a name is too long to be looked up: the database takes 2600 bytes; shorten it"
        )
    if state in _BUSY or state in _CONFLICTS or isinstance(error, PoolTimeout):
        return StorageUnavailable("the database is busy; nothing was written, try again", retry_after=1)
    if isinstance(error, psycopg.OperationalError):
        return StorageUnavailable(
            "the database cannot be reached; nothing was written, try again", retry_after=1
        )
    return StorageUnavailable("the database could not be written; nothing was stored")


def unusable(url: str, error: Exception) -> DatabaseError:
    """Return the error for an operator whose database cannot be reached, without the password."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return DatabaseError(
            "the database URL cannot be read; it is postgresql://USER:PASSWORD@HOST:PORT/NAME"
        )
    # never the password
    where = f"{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
    state = _state(error)
    if "authentication failed" in str(error):  # while connecting there is no SQLSTATE
        return DatabaseError(
            f"PostgreSQL at {where} does not let this user in; check the user and the password in the URL"
        )
    if "does not exist" in str(error) and not state:
        return DatabaseError(f"PostgreSQL at {where} has no such database or user; make it first")
    if state:
        return DatabaseError(
            f"PostgreSQL at {where} cannot be brought up to date (SQLSTATE {state}); the user of the URL "
            "must be allowed to make tables in it"
        )
    return DatabaseError(
        f"PostgreSQL at {where} cannot be reached; check that it runs and that the URL is right"
    )


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""
