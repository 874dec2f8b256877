"""Messages in threads: what was said, once, however many chats have it in their context.

A session has a thread, and so has a chain of chats. A chat that continues anything but the end of a chain begins a
thread of its own that names its parent, so storage grows with what was said.
Helpers for `chats.py` and `sessions.py`: every function takes the connection and runs inside the caller's transaction.
"""

import sqlite3
from collections.abc import Sequence

from generated.parley.v1.message_pb2 import Message

_LAST = 1 << 62


def read(connection: sqlite3.Connection, thread_id: str, last_seq: int = _LAST) -> list[Message]:
    """Everything said in a thread up to and including `last_seq`, oldest first, its ancestors' part first."""
    runs = []
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    while next_run:
        runs.append(between(connection, next_run[0], 0, next_run[1]))
        next_run = connection.execute(
            "SELECT parent_id, parent_seq FROM forks WHERE thread_id = ?", [next_run[0]]).fetchone()
    return [message for run in reversed(runs) for message in run]


def between(connection: sqlite3.Connection, thread_id: str, first_seq: int, last_seq: int) -> list[Message]:
    """One thread's own messages from `first_seq` to `last_seq`, both included."""
    rows = connection.execute(
        "SELECT body FROM messages WHERE thread_id = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        [thread_id, first_seq, last_seq])
    return [Message.FromString(body) for (body,) in rows]


def next_seq(connection: sqlite3.Connection, thread_id: str) -> int:
    return connection.execute(
        "SELECT coalesce(max(seq) + 1, 0) FROM messages WHERE thread_id = ?", [thread_id]).fetchone()[0]


def append(connection: sqlite3.Connection, thread_id: str, first_seq: int, messages: Sequence[Message]) -> None:
    connection.executemany(
        "INSERT INTO messages (thread_id, seq, body) VALUES (?, ?, ?)",
        [(thread_id, seq, message.SerializeToString()) for seq, message in enumerate(messages, first_seq)])


def fork(connection: sqlite3.Connection, thread_id: str, parent_id: str, parent_seq: int) -> None:
    connection.execute(
        "INSERT INTO forks (thread_id, parent_id, parent_seq) VALUES (?, ?, ?)", [thread_id, parent_id, parent_seq])


def discard(connection: sqlite3.Connection, thread_id: str) -> None:
    """Delete what no chat, no session and no fork needs any more of a thread; when that is all of it, its parent's too."""
    unneeded: str | None = thread_id
    while unneeded:
        last_seq = _last_needed(connection, unneeded)
        connection.execute("DELETE FROM messages WHERE thread_id = ? AND seq > ?", [unneeded, last_seq])
        if last_seq >= 0:
            return
        row = connection.execute("DELETE FROM forks WHERE thread_id = ? RETURNING parent_id", [unneeded]).fetchone()
        unneeded = row[0] if row else None


def _last_needed(connection: sqlite3.Connection, thread_id: str) -> int:
    """The last place that something needs: a session needs all, a chat and a fork what is up to their own; -1 for none."""
    return connection.execute(
        "SELECT max(CASE WHEN EXISTS (SELECT 1 FROM sessions WHERE thread_id = ?1) THEN ?2 ELSE -1 END, "
        "coalesce((SELECT max(last_seq) FROM chats WHERE thread_id = ?1), -1), "
        "coalesce((SELECT max(parent_seq) FROM forks WHERE parent_id = ?1), -1))", [thread_id, _LAST]).fetchone()[0]
