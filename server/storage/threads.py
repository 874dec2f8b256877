"""Messages in threads: what was said, once, however many chats have it in their context.

A session has a thread, and so has a chain of chats. A chat that continues anything but the end of a chain begins a
thread of its own that names its parent, so storage grows with what was said.
Helpers for `chats.py` and `sessions.py`: every function takes the connection and runs inside the caller's transaction.
A thread is an org's: whatever the id, no other org's words are read or touched, and all of it is on one shard.
"""

from collections.abc import Sequence

from generated.parley.v1.message_pb2 import Message
from server.storage.database import Connection, Cursor

_LAST = 1 << 62


def read(connection: Connection, org_id: str, thread_id: str, last_seq: int = _LAST) -> list[Message]:
    """Everything said in a thread up to and including `last_seq`, oldest first, its ancestors' part first."""
    runs = []
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    while next_run:
        said = _bodies(connection, org_id, next_run[0], 0, next_run[1])
        fork = connection.execute(
            "SELECT parent_id, parent_seq FROM forks WHERE org_id = ? AND thread_id = ?", [org_id, next_run[0]])
        runs.append(_messages(said))
        next_run = fork.fetchone()
    return [message for run in reversed(runs) for message in run]


def between(connection: Connection, org_id: str, thread_id: str, first_seq: int, last_seq: int) -> list[Message]:
    """One thread's own messages from `first_seq` to `last_seq`, both included."""
    return _messages(_bodies(connection, org_id, thread_id, first_seq, last_seq))


def _bodies(connection: Connection, org_id: str, thread_id: str, first_seq: int, last_seq: int) -> Cursor:
    return connection.execute(
        "SELECT body FROM messages WHERE org_id = ? AND thread_id = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        [org_id, thread_id, first_seq, last_seq])


def _messages(bodies: Cursor) -> list[Message]:
    return [Message.FromString(body) for (body,) in bodies]


def lock(connection: Connection, thread_id: str) -> None:
    """Let nobody else change what is at the end of a thread, or what is needed of it, until the transaction ends."""
    connection.lock(f"thread:{thread_id}")


def next_seq(connection: Connection, org_id: str, thread_id: str) -> int:
    return connection.execute(
        "SELECT coalesce(max(seq) + 1, 0) FROM messages WHERE org_id = ? AND thread_id = ?",
        [org_id, thread_id]).fetchone()[0]


def append(connection: Connection, org_id: str, thread_id: str, first_seq: int, messages: Sequence[Message]) -> None:
    connection.executemany(
        "INSERT INTO messages (org_id, thread_id, seq, body) VALUES (?, ?, ?, ?)",
        [(org_id, thread_id, seq, message.SerializeToString()) for seq, message in enumerate(messages, first_seq)])


def fork(connection: Connection, org_id: str, thread_id: str, parent_id: str, parent_seq: int) -> None:
    connection.execute(
        "INSERT INTO forks (org_id, thread_id, parent_id, parent_seq) VALUES (?, ?, ?, ?)",
        [org_id, thread_id, parent_id, parent_seq])


def discard(connection: Connection, org_id: str, thread_id: str) -> None:
    """Delete what no chat, no session and no fork needs any more of a thread; when that is all of it, its parent's too."""
    unneeded: str | None = thread_id
    while unneeded:
        lock(connection, unneeded)
        last_seq = _last_needed(connection, org_id, unneeded)
        connection.execute(
            "DELETE FROM messages WHERE org_id = ? AND thread_id = ? AND seq > ?", [org_id, unneeded, last_seq])
        if last_seq >= 0:
            return
        row = connection.execute(
            "DELETE FROM forks WHERE org_id = ? AND thread_id = ? RETURNING parent_id", [org_id, unneeded]).fetchone()
        unneeded = row[0] if row else None


def _last_needed(connection: Connection, org_id: str, thread_id: str) -> int:
    """The last place that something needs: a session needs all, a chat and a fork what is up to their own; -1 for none."""
    return connection.execute(
        "SELECT coalesce(max(seq), -1) FROM (SELECT max(last_seq) AS seq FROM chats "
        "WHERE org_id = ?1 AND thread_id = ?2 "
        "UNION ALL SELECT max(parent_seq) FROM forks WHERE org_id = ?1 AND parent_id = ?2 "
        "UNION ALL SELECT ?3 FROM sessions WHERE org_id = ?1 AND thread_id = ?2) AS needed",
        [org_id, thread_id, _LAST]).fetchone()[0]
