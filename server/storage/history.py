"""The rows that an org's or a session's history is made of: read in one order, and put back where they were.

A row is a dict of its columns but `org_id` and `version`. What is in its blobs is for `server/history.py` to read and write.
Rows come from callers: whatever they say, nothing of another org's is touched, read or joined on to, and nothing shows that
it is there. A record or a thread with the id of another org's is another one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from generated.parley.v1.message_pb2 import Message
from server.errors import FailedPrecondition, InvalidArgument
from server.storage import threads
from server.storage.database import Connection
from server.storage.scope import Scope

Row = dict[str, Any]

_VERSION_BITS = 62
"""An integer of both engines, with room for any number of changes."""

# The threads of some chats and sessions, and those that they continue.
_THREADS = ("WITH RECURSIVE thread (id) AS (SELECT thread_id FROM sessions WHERE {sessions} "
            "UNION SELECT thread_id FROM chats WHERE {chats} "
            "UNION SELECT parent_id FROM forks JOIN thread ON thread_id = id WHERE org_id = ?1) ")


class Table(NamedTuple):
    """One table of a history."""

    name: str
    key: tuple[str, ...]
    is_of_documents: bool = False
    """Whether its rows have a version."""
    is_in_threads: bool = False
    """Whether its rows belong to threads, and are never changed."""


TABLES = {
    "assistant": Table("assistants", ("id",), is_of_documents=True),
    "squad": Table("squads", ("id",), is_of_documents=True),
    "tool": Table("tools", ("id",), is_of_documents=True),
    "session": Table("sessions", ("id",)),
    "chat": Table("chats", ("id",)),
    "fork": Table("forks", ("thread_id",), is_in_threads=True),
    "message": Table("messages", ("thread_id", "seq"), is_in_threads=True),
}
"""By the kind of their rows, in the order in which those are written: messages that nothing needs would be deleted."""


def read_rows(connection: Connection, org_id: str, session_id: str | None) -> Iterator[tuple[str, Row]]:
    """Kind and row, of all that an org or one of its sessions has. Exchanges in progress are left out."""
    sessions, chats = "org_id = ?1", "org_id = ?1 AND status <> 'in_progress'"
    if session_id is not None:
        sessions, chats = f"{sessions} AND id = ?2", f"{chats} AND session_id = ?2"
    conditions = {"session": sessions, "chat": chats}
    within = _THREADS.format(sessions=sessions, chats=chats)
    for kind, table in TABLES.items():
        if session_id is not None and table.is_of_documents:
            continue
        columns = list(columns_of(connection, kind))
        condition = conditions.get(kind, "org_id = ?1")
        if table.is_in_threads:
            condition = f"{condition} AND thread_id IN (SELECT id FROM thread)"
        rows = connection.execute(
            f"{within if table.is_in_threads else ''}SELECT {', '.join(columns)} FROM {table.name} WHERE {condition} "
            f"ORDER BY {', '.join(table.key)}", [org_id] if session_id is None else [org_id, session_id])
        for row in rows:
            yield kind, dict(zip(columns, row, strict=True))


def columns_of(connection: Connection, kind: str) -> dict[str, tuple[str, bool]]:
    """The columns of a row: the type, and whether a row must have it."""
    return {column.name: (column.type, column.is_required) for column in connection.columns(TABLES[kind].name)
            if column.name not in ("org_id", "version")}


def has_session(connection: Connection, scope: Scope, session_id: str | None) -> bool:
    condition, parameters = scope.where()
    return connection.execute(
        f"SELECT 1 FROM sessions WHERE id = ? AND {condition}", [session_id, *parameters]).fetchone() is not None


class Writer:
    """Puts rows into an org, inside the caller's transaction."""

    def __init__(self, connection: Connection, org_id: str) -> None:
        self._connection = connection
        self._org_id = org_id
        self._threads: set[str] = set()

    def write(self, kind: str, row: Row) -> bool:
        """Whether the row was new. Raises FailedPrecondition when it contradicts what is there."""
        for name in ("thread_id", "parent_id"):
            if name in row:
                self._lock_thread(row[name])
        if row.get("session_id") is not None and not has_session(self._connection, Scope(self._org_id), row["session_id"]):
            raise FailedPrecondition("names a session that is not here: it has to come before its chats")
        table = TABLES[kind]
        if (known := self._known(table, row)) is not None:
            _check_same(table, known, row)
            return False
        members = {**row, "org_id": self._org_id}
        if table.is_of_documents:
            # Never one that the id had before it was deleted: servers have documents in caches, by their versions.
            members["version"] = secrets.randbits(_VERSION_BITS)
        self._connection.execute(
            f"INSERT INTO {table.name} ({', '.join(members)}) VALUES ({', '.join('?' * len(members))})",
            list(members.values()))
        return True

    def finish(self) -> None:
        """Delete what nothing needs, after the last row. Raises FailedPrecondition when threads continue each other."""
        sound: set[str] = set()
        for thread_id in self._threads:
            self._check_line(thread_id, sound)
        for thread_id in self._threads:
            threads.discard(self._connection, self._org_id, thread_id)

    def _known(self, table: Table, row: Row) -> Mapping[str, Any] | None:
        columns = list(row) if table.is_in_threads else list(table.key)
        found = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM {table.name} "
            f"WHERE org_id = ? AND {' AND '.join(f'{name} = ?' for name in table.key)}",
            [self._org_id, *(row[name] for name in table.key)]).fetchone()
        return found and dict(zip(columns, found, strict=True))

    def _lock_thread(self, thread_id: str) -> None:
        if thread_id not in self._threads:
            self._threads.add(thread_id)
            threads.lock(self._connection, self._org_id, thread_id)

    def _check_line(self, thread_id: str, sound: set[str]) -> None:
        """A thread that is its own ancestor would be read for ever."""
        line: set[str] = set()
        above: str | None = thread_id
        while above and above not in sound:
            if above in line:
                raise FailedPrecondition("has forks that continue each other in a circle")
            line.add(above)
            row = self._connection.execute(
                "SELECT parent_id FROM forks WHERE org_id = ? AND thread_id = ?", [self._org_id, above]).fetchone()
            above = row[0] if row else None
        sound |= line


def _check_same(table: Table, known: Mapping[str, Any], row: Row) -> None:
    """What has the same key is what it was, unless it may have been changed since."""
    if table.is_in_threads and any(
            known[name] != value and (name != "body" or Message.FromString(known[name]) != Message.FromString(value))
            for name, value in row.items()):  # equal messages need not have equal bytes
        raise FailedPrecondition("is not what is there: this conversation went on in another way since the export; import "
                                 "it into another database, or delete it here first")


def check_types(columns: Mapping[str, tuple[str, bool]], row: Row) -> None:
    """Raises InvalidArgument naming the column that is missing, unknown or of another type."""
    for name in row.keys() - columns.keys():
        raise InvalidArgument.of(name, "is not a member of such a line")
    for name, (type_, required) in columns.items():
        value = row.get(name)
        if value is None and not required:
            continue
        if not _fits(value, type_):
            raise InvalidArgument.of(name, f"must be {_EXPECTED[type_]}")


_EXPECTED = {"TEXT": "a string without NUL", "INTEGER": "an integer from 0 to 2^53", "REAL": "a number", "BLOB": "an object"}


def _fits(value: Any, type_: str) -> bool:
    if type_ == "INTEGER":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53
    if type_ == "REAL":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "TEXT":
        return isinstance(value, str) and "\0" not in value  # which PostgreSQL cannot keep
    return isinstance(value, bytes)
