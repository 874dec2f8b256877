"""The rows of an org's or a session's history: read in one order, and written back.

A row is a dict of its columns except `org_id` and `version`. `wire/history/` reads and writes the contents of
its blobs. Rows come from callers: whatever they contain, no record of another org is changed, read, joined or
revealed. A record or a thread with the id of another org's is a different one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from generated.parley.v1.message_pb2 import Message
from server.core.errors import FailedPrecondition
from server.storage import threads
from server.storage.database import Connection
from server.storage.history_order import Unit, in_order
from server.storage.scope import Scope

Row = dict[str, Any]
KindRow = tuple[str, Row]

_PAGE = 100

_VERSION_BITS = 62
"""An integer of both engines, with room for any number of changes."""

# The threads of some chats and sessions, and those that they continue.
_THREADS = (
    "WITH RECURSIVE thread (id) AS (SELECT thread_id FROM sessions WHERE {sessions} "
    "UNION SELECT thread_id FROM chats WHERE {chats} "
    "UNION SELECT parent_id FROM forks JOIN thread ON thread_id = id WHERE org_id = ?1) "
)


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
"""By the kind of their rows."""
ALONE = ("assistant", "squad", "tool", "session")
"""The kinds that come first, in this order. The others are in threads."""


def read_rows(connection: Connection, org_id: str, session_id: str | None) -> Iterator[Unit[KindRow]]:
    """Yield all rows of an org or of one of its sessions, in units that can be imported one after another.

    Exchanges in progress are left out.
    """
    columns = {kind: list(columns_of(connection, kind)) for kind in TABLES}
    own = [org_id] if session_id is None else [org_id, session_id]
    for kind in ALONE if session_id is None else ("session",):
        rows = connection.execute(
            f"SELECT {', '.join(columns[kind])} FROM {TABLES[kind].name} "
            f"WHERE org_id = ?1{'' if session_id is None else ' AND id = ?2'} ORDER BY id",
            own,
        )
        yield from ([(kind, dict(zip(columns[kind], row, strict=True)))] for row in rows)
    reader = _ThreadReader(connection, columns, own)
    yield from in_order(reader.threads, reader.forks, reader.rows)


class _ThreadReader:
    """Reads the threads of an org's chats and sessions, or of one session's, and those that they continue."""

    def __init__(
        self, connection: Connection, columns: Mapping[str, Sequence[str]], own: Sequence[str]
    ) -> None:
        self._connection = connection
        self._columns = columns
        self._own = own
        sessions, self._of_chats = "org_id = ?1", "org_id = ?1 AND status <> 'in_progress'"
        if len(own) > 1:
            sessions, self._of_chats = f"{sessions} AND id = ?2", f"{self._of_chats} AND session_id = ?2"
        within = _THREADS.format(sessions=sessions, chats=self._of_chats)
        self.threads = [
            thread_id
            for (thread_id,) in connection.execute(
                f"{within}SELECT id FROM thread ORDER BY id", own
            ).fetchall()
        ]
        self.forks = {
            thread_id: (parent_id, parent_seq)
            for thread_id, parent_id, parent_seq in connection.execute(
                f"{within}SELECT thread_id, parent_id, parent_seq FROM forks WHERE org_id = ?1 "
                "AND thread_id IN (SELECT id FROM thread)",
                own,
            ).fetchall()
        }
        """The parent of each thread that continues another, and the position up to which it does."""
        self._needed = {
            thread_id: threads.LAST
            for (thread_id,) in connection.execute(
                f"SELECT thread_id FROM sessions WHERE {sessions}", own
            ).fetchall()
        }
        """The last place that a session or a fork needs of a thread."""
        for parent_id, parent_seq in self.forks.values():
            self._needed[parent_id] = max(parent_seq, self._needed.get(parent_id, -1))

    def rows(self, thread_id: str) -> Iterator[tuple[KindRow, bool]]:
        """Yield the rows of a thread, each chat after its messages, and for each whether it, or a session,
        needs all rows before it."""
        if fork := self.forks.get(thread_id):
            yield ("fork", {"thread_id": thread_id, "parent_id": fork[0], "parent_seq": fork[1]}), False
        last = self._needed.get(thread_id, -1)
        messages = self._messages(thread_id)
        message = next(messages, None)
        for chat in self._chats(thread_id):
            while message and message["seq"] <= chat["last_seq"]:
                yield ("message", message), last == threads.LAST
                message = next(messages, None)
            yield ("chat", chat), True
        while message and message["seq"] <= last:
            yield ("message", message), last == threads.LAST
            message = next(messages, None)

    def _chats(self, thread_id: str) -> Iterator[Row]:
        return self._pages(
            "chat",
            f"{self._of_chats} AND thread_id = ?{len(self._own) + 1}",
            [*self._own, thread_id],
            ("first_seq", "id"),
        )

    def _messages(self, thread_id: str) -> Iterator[Row]:
        return self._pages("message", "org_id = ?1 AND thread_id = ?2", [self._own[0], thread_id], ("seq",))

    def _pages(
        self, kind: str, condition: str, parameters: Sequence[str], key: Sequence[str]
    ) -> Iterator[Row]:
        """Yield the rows that match a condition, in batches: only one cursor can be open at a time, and there
        are several readers."""
        names, at = self._columns[kind], [-1, ""][: len(key)]
        places = ", ".join(
            f"?{number}" for number in range(len(parameters) + 1, len(parameters) + 1 + len(key))
        )
        sql = (
            f"SELECT {', '.join(names)} FROM {TABLES[kind].name} WHERE {condition} AND ({', '.join(key)}) > ({places}) "
            f"ORDER BY {', '.join(key)} LIMIT {_PAGE}"
        )
        while True:
            page = self._connection.execute(sql, [*parameters, *at]).fetchall()
            rows = [dict(zip(names, row, strict=True)) for row in page]
            yield from rows
            if len(rows) < _PAGE:
                return
            at = [rows[-1][name] for name in key]


def columns_of(connection: Connection, kind: str) -> dict[str, tuple[str, bool]]:
    """Return the columns of a row: the type, and whether it is required."""
    return {
        column.name: (column.type, column.is_required)
        for column in connection.columns(TABLES[kind].name)
        if column.name not in ("org_id", "version")
    }


def has_session(connection: Connection, scope: Scope, session_id: str | None) -> bool:
    """Return whether the scope has this session."""
    condition, parameters = scope.where()
    return (
        connection.execute(
            f"SELECT 1 FROM sessions WHERE id = ? AND {condition}", [session_id, *parameters]
        ).fetchone()
        is not None
    )


class Writer:
    """Writes rows to an org, inside the caller's transaction."""

    def __init__(self, connection: Connection, org_id: str) -> None:
        self._connection = connection
        self._org_id = org_id
        self._threads: set[str] = set()
        self._new: list[tuple[int, str, Row]] = []
        """Number, kind and row of the rows in these threads."""

    def write(self, number: int, kind: str, row: Row) -> bool:
        """Write a row and return whether it was new. Raises FailedPrecondition when it contradicts an
        existing record."""
        for name in ("thread_id", "parent_id"):
            if name in row:
                self._lock_thread(row[name])
        if row.get("session_id") is not None and not has_session(
            self._connection, Scope(self._org_id), row["session_id"]
        ):
            raise FailedPrecondition("names a session that is not here: it has to come before its chats")
        table = TABLES[kind]
        if (known := self._known(table, row)) is not None:
            _check_same(table, known, row)
            return False
        members = {**row, "org_id": self._org_id}
        if table.is_of_documents:
            # Never a version that the id had before it was deleted: servers cache documents by their
            # versions.
            members["version"] = secrets.randbits(_VERSION_BITS)
        self._connection.execute(
            f"INSERT INTO {table.name} ({', '.join(members)}) VALUES ({', '.join('?' * len(members))})",
            list(members.values()),
        )
        if kind not in ALONE:
            self._new.append((number, kind, row))
        return True

    def finish(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield the steps after the last row: delete what nothing needs, and check that the rest is complete.

        Each step comes with the number of its row, 0 for all of them. Steps raise FailedPrecondition.
        """
        yield 0, self._check_lines
        yield 0, self._discard
        for number, kind, row in self._new:
            yield number, partial(self._check_whole, kind, row)

    @property
    def new_chats(self) -> list[tuple[int, Row]]:
        """Return the new chats with the numbers of their rows."""
        return [(number, row) for number, kind, row in self._new if kind == "chat"]

    def answered(self, chat: Row) -> list[Message]:
        """Return the answer of an existing chat, without its other choices."""
        return threads.between(
            self._connection, self._org_id, chat["thread_id"], chat["output_seq"], chat["last_seq"]
        )

    def _check_lines(self) -> None:
        sound: set[str] = set()
        for thread_id in self._threads:
            self._check_line(thread_id, sound)

    def _discard(self) -> None:
        for thread_id in self._threads:
            threads.discard(self._connection, self._org_id, thread_id)

    def _check_whole(self, kind: str, row: Row) -> None:
        """Raise FailedPrecondition unless everything that a row needs exists. A thread begins at 0 and has no
        gap, so one position suffices."""
        thread_id, seq = _needed(kind, row)
        # discarded
        if seq < 0 or self._has_message(thread_id, seq) or self._known(TABLES[kind], row) is None:
            return
        raise FailedPrecondition(
            f"needs message {seq} of thread {thread_id}, which is not here: send together what ExportHistory answers "
            "together, or import the whole file with `parley import`"
        )

    def _has_message(self, thread_id: str, seq: int) -> bool:
        return (
            self._connection.execute(
                "SELECT 1 FROM messages WHERE org_id = ? AND thread_id = ? AND seq = ?",
                [self._org_id, thread_id, seq],
            ).fetchone()
            is not None
        )

    def _known(self, table: Table, row: Row) -> Mapping[str, Any] | None:
        columns = list(row) if table.is_in_threads else list(table.key)
        found = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM {table.name} "
            f"WHERE org_id = ? AND {' AND '.join(f'{name} = ?' for name in table.key)}",
            [self._org_id, *(row[name] for name in table.key)],
        ).fetchone()
        return found and dict(zip(columns, found, strict=True))

    def _lock_thread(self, thread_id: str) -> None:
        if thread_id not in self._threads:
            self._threads.add(thread_id)
            threads.lock(self._connection, self._org_id, thread_id)

    def _check_line(self, thread_id: str, sound: set[str]) -> None:
        """Raise for a thread that is its own ancestor, which could be read without end."""
        line: set[str] = set()
        above: str | None = thread_id
        while above and above not in sound:
            if above in line:
                raise FailedPrecondition("the import has forks that continue each other in a circle")
            line.add(above)
            row = self._connection.execute(
                "SELECT parent_id FROM forks WHERE org_id = ? AND thread_id = ?", [self._org_id, above]
            ).fetchone()
            above = row[0] if row else None
        sound |= line


def _needed(kind: str, row: Row) -> tuple[str, int]:
    """Return the thread and the position of the last message that a row requires."""
    if kind == "fork":
        return row["parent_id"], row["parent_seq"]
    return row["thread_id"], row["seq"] - 1 if kind == "message" else row["last_seq"]


def _check_same(table: Table, known: Mapping[str, Any], row: Row) -> None:
    """Raise unless a row equals the existing record with its key, apart from members that may have changed
    since."""
    if table.is_in_threads and any(
        known[name] != value
        and (name != "body" or Message.FromString(known[name]) != Message.FromString(value))
        for name, value in row.items()
    ):  # equal messages need not have equal bytes
        raise FailedPrecondition(
            "differs from the stored record: this conversation has continued differently since the export; import "
            "it into another database, or delete it here first"
        )
