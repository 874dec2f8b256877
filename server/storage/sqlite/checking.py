"""Checks whether a SQLite file is sound: SQLite's own checks, and the rules between rows.

Only reads; repairs nothing. Every finding is one line that names a table and, where there is one, an id.
"""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import orjson
from google.protobuf.message import DecodeError

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatEventBatch, ChatRecord, ConversationState
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.storage.database import DatabaseError
from server.storage.sqlite.backups import reading
from server.storage.sqlite.migrations import applied, pending
from server.storage.sqlite.sums import check_sums
from server.storage.sqlite.wal import check_log

MOST_FINDINGS = 100

# For each rule: a text for the rows that break it, and the query that finds their ids.
_RULES = {
    "chat {} lacks messages": "SELECT id FROM chats WHERE status <> 'in_progress' AND last_seq - "
    "first_seq + 1 <> (SELECT count(*) FROM messages "
    "WHERE messages.org_id = chats.org_id AND messages.thread_id = chats.thread_id "
    "AND seq BETWEEN first_seq AND last_seq)",
    "chat {} is in a session that does not exist": "SELECT id FROM chats WHERE session_id IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM sessions "
    "WHERE sessions.id = chats.session_id AND sessions.org_id = chats.org_id)",
    "thread {} has a gap": "SELECT thread_id FROM messages GROUP BY thread_id, org_id HAVING "
    "min(seq) <> 0 OR max(seq) + 1 <> count(*)",
    "thread {} continues messages that do not exist": "SELECT thread_id FROM forks WHERE parent_seq + "
    "1 <> (SELECT count(*) FROM messages "
    "WHERE messages.org_id = forks.org_id AND messages.thread_id = parent_id AND seq <= parent_seq)",
    "thread {} has messages that nothing needs": "SELECT thread_id FROM messages GROUP BY thread_id, "
    "org_id HAVING max(seq) > max("
    "coalesce((SELECT max(last_seq) FROM chats "
    "WHERE chats.org_id = messages.org_id AND chats.thread_id = messages.thread_id), -1), "
    "coalesce((SELECT max(parent_seq) FROM forks "
    "WHERE forks.org_id = messages.org_id AND parent_id = messages.thread_id), -1)) AND NOT EXISTS (SELECT 1 "
    "FROM sessions WHERE sessions.org_id = messages.org_id AND sessions.thread_id = messages.thread_id)",
    "org {} has a wrong total": "SELECT DISTINCT org_id FROM totals WHERE total <> CASE noun "
    "WHEN 'chats' THEN (SELECT count(*) FROM chats WHERE chats.org_id = totals.org_id) "
    "ELSE (SELECT count(*) FROM sessions WHERE sessions.org_id = totals.org_id) END",
    "chat {} is over or gone, but its events still exist": "SELECT DISTINCT chat_id FROM "
    "chat_events WHERE NOT EXISTS (SELECT 1 FROM chats "
    "WHERE chats.org_id = chat_events.org_id AND id = chat_id AND status = 'in_progress')",
    "outbox lane {} waits for nothing": "SELECT lane FROM outbox WHERE state = 'waiting' GROUP BY "
    "org_id, lane HAVING count(due_at) <> 1",
    "outbox has a delivery for chat {}, which does not exist": "SELECT DISTINCT chat_id FROM outbox "
    "WHERE chat_id IS NOT NULL AND state <> 'dead' "
    "AND NOT EXISTS (SELECT 1 FROM chats WHERE chats.org_id = outbox.org_id AND id = chat_id)",
}
_FORMS: dict[tuple[str, str, str], Callable[[bytes], object]] = {
    ("chats", "id", "body"): Chat.FromString,
    ("chats", "id", "record"): ChatRecord.FromString,
    ("chats", "id", "private"): orjson.loads,
    ("chat_events", "chat_id", "body"): ChatEventBatch.FromString,
    ("sessions", "id", "body"): Session.FromString,
    ("sessions", "id", "state"): ConversationState.FromString,
    ("sessions", "id", "variables"): orjson.loads,
    ("sessions", "id", "private"): orjson.loads,
    ("messages", "thread_id", "body"): Message.FromString,
    ("assistants", "id", "document"): orjson.loads,
    ("squads", "id", "document"): orjson.loads,
    ("tools", "id", "document"): orjson.loads,
}


def findings(path: Path) -> list[str]:
    """Return the faults of a database, at most `MOST_FINDINGS`. Raises DatabaseError when there is none."""
    found: list[str] = []
    try:
        check_sums(path)
        check_log(path)
    except DatabaseError as error:
        return [str(error)]  # opening it would lose the commits behind the damage
    try:
        with reading(path) as connection:
            found.extend(islice(_found(connection), MOST_FINDINGS))
    except DatabaseError:
        if not path.is_file():
            raise
        found.append("it is damaged or is not a database")
    return found


def _found(connection: sqlite3.Connection) -> Iterator[str]:
    yield from _by_sqlite(connection)
    if not applied(connection):
        yield "it has no tables of parley"
    elif names := pending(connection):
        yield f"it is older than this program ({names[0]}); `parley serve` brings it up to date"
    else:
        for text, query in _RULES.items():
            yield from (text.format(key) for (key,) in connection.execute(query))
        for (table, key, column), read in _FORMS.items():
            yield from _unreadable(connection, table, key, column, read)


def _by_sqlite(connection: sqlite3.Connection) -> Iterator[str]:
    for (finding,) in connection.execute(f"PRAGMA integrity_check({MOST_FINDINGS})"):
        if finding != "ok":
            yield " ".join(finding.split())
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{table} row {row} names a row of {parent} that does not exist"


def _unreadable(
    connection: sqlite3.Connection, table: str, key: str, column: str, read: Callable[[bytes], object]
) -> Iterator[str]:
    for name, value in connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"):
        try:
            read(value)
        except (DecodeError, orjson.JSONDecodeError):
            yield f"{table} {name}: {column} cannot be read"
