"""Messages in threads, each stored once, however many chats have it in their context.

A session has a thread, and so has a chain of chats. A chat that continues anything but the end of a chain
begins a thread of its own that names its parent, so storage grows only with new messages. Helpers for
`chats.py` and `sessions.py`: every function takes the connection and runs inside the caller's transaction. A
thread belongs to an org: whatever the id, no other org's messages are read or changed, and all of it is on
one shard.
"""

from collections.abc import Iterable, Sequence

from generated.parley.v1.message_pb2 import Message
from server.content.budget import fitting
from server.storage.database import Connection, Cursor

LAST = 1 << 62
"""A place after all others."""
ALL = (0, LAST)
"""Every place of a thread."""
HAS_ID = "substr(body, 1, 38) = ?"
"""A message begins with its id, which is the first member that is written; the index `messages_by_id` has
these bytes."""
_END = "substr(body, length(body) - 34)"
_IS_CALLS_KEY = f"{_END[:-1]}, 3) = x'c23e20'"
CALLS_KEY_INDEX = ("messages_by_calls", _END, _IS_CALLS_KEY)
"""The name of the index, its expression, and its condition: messages that end with `calls_key`, the last
member written."""
HAS_CALLS_KEY = f"{_IS_CALLS_KEY} AND {_END} = ?"
_FORK = "SELECT parent_id, parent_seq FROM forks WHERE org_id = ? AND thread_id = ?"
_SIZES_AT_ONCE = 1000
_ROW = 100
"""Bytes that a message counts for besides its own, so that many small ones are not free."""
_SIZE = (
    f"SELECT coalesce(sum(length(body) + {_ROW}), 0) AS size FROM messages "
    "WHERE org_id = ?1 AND thread_id = ?2 AND seq <= ?3"
)
# One row at least, with the size: the messages are read only when it is within the limit.
_SIZE_AND_BODIES = (
    f"SELECT size, seq, body FROM ({_SIZE}) AS whole LEFT JOIN messages "
    "ON size <= ?4 AND org_id = ?1 AND thread_id = ?2 AND seq <= ?3"
)


def read(connection: Connection, org_id: str, thread_id: str, last_seq: int = LAST) -> list[Message]:
    """Return the messages of a thread up to and including `last_seq`, oldest first, ancestors included."""
    runs = []
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    while next_run:
        stored_bodies = _bodies(connection, org_id, next_run[0], 0, next_run[1])
        fork = connection.execute(_FORK, [org_id, next_run[0]])
        runs.append(_messages(stored_bodies))
        next_run = fork.fetchone()
    return [message for run in reversed(runs) for message in run]


def within(
    connection: Connection, org_id: str, thread_id: str, most_bytes: int, last_seq: int = LAST
) -> tuple[int, list[Message] | None]:
    """Return the size in bytes of a thread up to `last_seq`, ancestors included, and its messages, oldest
    first, unless that is more than `most_bytes`."""
    runs: list[list[Message]] = []
    total = 0
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    while next_run:
        own = connection.execute(_SIZE_AND_BODIES, [org_id, *next_run, most_bytes - total])
        fork = connection.execute(_FORK, [org_id, next_run[0]])  # before a result is read: one round trip
        rows = own.fetchall()
        total += rows[0][0]
        if total > most_bytes:
            return size(connection, org_id, thread_id, last_seq), None
        # Sorted already, by the index; SQLite would copy all messages to sort them.
        rows.sort(key=lambda row: row[1] or 0)
        runs.append(_messages((body,) for _, _, body in rows if body is not None))
        next_run = fork.fetchone()
    return total, [message for run in reversed(runs) for message in run]


def latest(
    connection: Connection, org_id: str, thread_id: str, most_bytes: int, last_seq: int = LAST
) -> tuple[list[Message], bool]:
    """Return the latest messages up to `last_seq` that fit into `most_bytes`, and whether these are all."""
    runs: list[list[Message]] = []
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    is_whole = True
    while next_run and is_whole:
        first_seq, most_bytes, is_whole = _first_fitting(connection, org_id, *next_run, most_bytes)
        runs.append(between(connection, org_id, next_run[0], first_seq, next_run[1]))
        fork = connection.execute(_FORK, [org_id, next_run[0]])
        next_run = fork.fetchone()
    return [message for run in reversed(runs) for message in run], is_whole


def _first_fitting(
    connection: Connection, org_id: str, thread_id: str, last_seq: int, most_bytes: int
) -> tuple[int, int, bool]:
    """Return the position from which one thread's own messages fit, the bytes then left, and whether all of
    them fit."""
    first_seq = last_seq + 1
    while True:
        sizes = connection.execute(
            "SELECT seq, length(body) FROM messages WHERE org_id = ? AND thread_id = ? AND seq < ? "
            "ORDER BY seq DESC LIMIT ?",
            [org_id, thread_id, first_seq, _SIZES_AT_ONCE],
        ).fetchall()
        for seq, size in sizes:
            if size > most_bytes:
                return first_seq, most_bytes, False
            first_seq, most_bytes = seq, most_bytes - size
        if len(sizes) < _SIZES_AT_ONCE:
            return first_seq, most_bytes, True


def page(
    connection: Connection,
    org_id: str,
    thread_id: str,
    span: tuple[int, int],
    *,
    after: str | None,
    ascending: bool,
    limit: int,
) -> tuple[list[Message], bool]:
    """Return one thread's own messages within a span of positions, in either direction, and whether more
    follow.

    They begin with the message whose id is `after`, which is not counted. Of `limit` messages as many are
    read as fit into an answer, at least one; none when no message has the id `after`.
    """
    first_seq, last_seq = span
    if after is not None:
        place = place_of(connection, org_id, thread_id, span, after)
        if place is None:
            return [], False
        first_seq, last_seq = (place, last_seq) if ascending else (first_seq, place)
    sizes = connection.execute(
        "SELECT seq, length(body) FROM messages WHERE org_id = ? AND thread_id = ? AND seq BETWEEN ? AND ? "
        f"ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?",
        [org_id, thread_id, first_seq, last_seq, limit + 2],
    ).fetchall()
    known = int(after is not None)
    count = known + fitting([size for _, size in sizes[known : known + limit]])
    shown = [seq for seq, _ in sizes[:count]]
    if not shown:
        return [], False
    messages = between(connection, org_id, thread_id, min(shown), max(shown))
    return messages if ascending else messages[::-1], len(sizes) > count


def place_of(
    connection: Connection, org_id: str, thread_id: str, span: tuple[int, int], message_id: str
) -> int | None:
    """Return the position of a message in a span; None when it is not there."""
    row = connection.execute(
        f"SELECT seq FROM messages WHERE org_id = ? AND thread_id = ? AND seq BETWEEN ? AND ? AND {HAS_ID}",
        [org_id, thread_id, *span, beginning(message_id)],
    ).fetchone()
    return row[0] if row else None


def beginning(message_id: str) -> bytes:
    """Return the parameter of HAS_ID."""
    return Message(id=message_id).SerializeToString()


def ending(calls_key: str) -> bytes:
    """Return the parameter of HAS_CALLS_KEY."""
    return Message(calls_key=calls_key).SerializeToString()


def between(
    connection: Connection, org_id: str, thread_id: str, first_seq: int, last_seq: int
) -> list[Message]:
    """Return one thread's own messages from `first_seq` to `last_seq`, both included."""
    return _messages(_bodies(connection, org_id, thread_id, first_seq, last_seq))


def _bodies(connection: Connection, org_id: str, thread_id: str, first_seq: int, last_seq: int) -> Cursor:
    return connection.execute(
        "SELECT body FROM messages WHERE org_id = ? AND thread_id = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        [org_id, thread_id, first_seq, last_seq],
    )


def _messages(bodies: Iterable[tuple[bytes]]) -> list[Message]:
    return [Message.FromString(body) for (body,) in bodies]


def size_of(messages: Sequence[Message]) -> int:
    """Return the size of messages in bytes."""
    return sum(message.ByteSize() + _ROW for message in messages)


def size(connection: Connection, org_id: str, thread_id: str, last_seq: int = LAST) -> int:
    """Return the size in bytes of a thread up to `last_seq`, ancestors included, without reading messages."""
    total = 0
    next_run: tuple[str, int] | None = (thread_id, last_seq)
    while next_run:
        own = connection.execute(_SIZE, [org_id, *next_run])
        fork = connection.execute(_FORK, [org_id, next_run[0]])  # before a result is read: one round trip
        total += own.fetchone()[0]
        next_run = fork.fetchone()
    return total


def lock(connection: Connection, org_id: str, thread_id: str) -> None:
    """Prevent other transactions from changing the end of a thread, or deleting needed messages of it, until
    this one ends."""
    connection.lock(f"thread:{org_id}:{thread_id}")


def next_seq(connection: Connection, org_id: str, thread_id: str) -> Cursor:
    """Select the position after the last message of a thread."""
    return connection.execute(
        "SELECT coalesce(max(seq) + 1, 0) FROM messages WHERE org_id = ? AND thread_id = ?",
        [org_id, thread_id],
    )


def session_end(connection: Connection, org_id: str, session_id: str) -> Cursor:
    """Select the thread of a session, and the position after its last message."""
    return connection.execute(
        "SELECT thread_id, (SELECT coalesce(max(seq) + 1, 0) FROM messages "
        "WHERE messages.org_id = sessions.org_id AND messages.thread_id = sessions.thread_id) "
        "FROM sessions WHERE org_id = ? AND id = ?",
        [org_id, session_id],
    )


def append(
    connection: Connection, org_id: str, thread_id: str, first_seq: int, messages: Sequence[Message]
) -> None:
    """Append messages to a thread, from position `first_seq` on."""
    connection.executemany(
        "INSERT INTO messages (org_id, thread_id, seq, body) VALUES (?, ?, ?, ?)",
        [
            (org_id, thread_id, seq, message.SerializeToString())
            for seq, message in enumerate(messages, first_seq)
        ],
    )


def fork(connection: Connection, org_id: str, thread_id: str, parent_id: str, parent_seq: int) -> None:
    """Record that a thread continues another up to and including `parent_seq`."""
    connection.execute(
        "INSERT INTO forks (org_id, thread_id, parent_id, parent_seq) VALUES (?, ?, ?, ?)",
        [org_id, thread_id, parent_id, parent_seq],
    )


def discard(connection: Connection, org_id: str, thread_id: str) -> None:
    """Delete the messages of a thread that no chat, session or fork needs; when those are all, also its
    parent's."""
    unneeded: str | None = thread_id
    while unneeded:
        lock(connection, org_id, unneeded)
        last_seq = _last_needed(connection, org_id, unneeded)
        connection.execute(
            "DELETE FROM messages WHERE org_id = ? AND thread_id = ? AND seq > ?",
            [org_id, unneeded, last_seq],
        )
        if last_seq >= 0:
            return
        row = connection.execute(
            "DELETE FROM forks WHERE org_id = ? AND thread_id = ? RETURNING parent_id", [org_id, unneeded]
        ).fetchone()
        unneeded = row[0] if row else None


def _last_needed(connection: Connection, org_id: str, thread_id: str) -> int:
    """Return the last position that something needs: a session needs all, a chat or a fork everything up to
    its own; -1 for none."""
    seq: int = connection.execute(
        "SELECT coalesce(max(seq), -1) FROM (SELECT max(last_seq) AS seq FROM chats "
        "WHERE org_id = ?1 AND thread_id = ?2 "
        "UNION ALL SELECT max(parent_seq) FROM forks WHERE org_id = ?1 AND parent_id = ?2 "
        "UNION ALL SELECT ?3 FROM sessions WHERE org_id = ?1 AND thread_id = ?2) AS needed",
        [org_id, thread_id, LAST],
    ).fetchone()[0]
    return seq
