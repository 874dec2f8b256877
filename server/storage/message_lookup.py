"""Finds messages in any thread: by the ids that an input names instead of repeating them, and by the calls
that it repeats.

Helper for `chats.py`: takes the connection and runs inside the caller's transaction.
"""

from collections.abc import Iterable

from generated.parley.v1.message_pb2 import Message
from server.storage import threads
from server.storage.database import Connection, Cursor
from server.storage.scope import Scope


def by_ids(
    connection: Connection, scope: Scope, ids: Iterable[str], most_bytes: int
) -> dict[str, Message] | None:
    """Return the messages with these ids that belong to a chat or a session of the scope; None when they
    exceed `most_bytes` together."""
    found: dict[str, Message] = {}
    for message_id in ids:
        row = _first(connection, scope, "body", threads.HAS_ID, threads.beginning(message_id)).fetchone()
        if row is None:
            continue
        found[message_id] = Message.FromString(row[0])
        most_bytes -= threads.size_of([found[message_id]])
        if most_bytes < 0:
            return None
    return found


def by_calls(
    connection: Connection, scope: Scope, keys: Iterable[str], most_bytes: int
) -> dict[str, Message]:
    """Return the messages whose calls have these keys and that belong to a chat or a session of the scope, in
    the order of the keys, up to `most_bytes` together.

    Two queries on PostgreSQL: positions and sizes first, then the messages that fit.
    """
    cursors = {
        key: _first(
            connection, scope, "thread_id, seq, length(body)", threads.HAS_CALLS_KEY, threads.ending(key)
        )
        for key in keys
    }
    places = {key: row for key, cursor in cursors.items() if (row := cursor.fetchone())}
    bodies = {}
    for key, (thread_id, seq, size) in places.items():
        most_bytes -= size
        if most_bytes < 0:
            break
        bodies[key] = connection.execute(
            "SELECT body FROM messages WHERE org_id = ? AND thread_id = ? AND seq = ?",
            [scope.org_id, thread_id, seq],
        )
    return {key: Message.FromString(row[0]) for key, cursor in bodies.items() if (row := cursor.fetchone())}


def _first(connection: Connection, scope: Scope, columns: str, which: str, parameter: bytes) -> Cursor:
    condition, parameters = scope.where()
    return connection.execute(
        f"SELECT {columns} FROM messages WHERE org_id = ? AND {which} AND ("
        "EXISTS (SELECT 1 FROM chats WHERE chats.thread_id = messages.thread_id "
        f"AND messages.seq BETWEEN chats.first_seq AND chats.last_seq AND {condition}) OR "
        f"EXISTS (SELECT 1 FROM sessions WHERE sessions.thread_id = messages.thread_id AND {condition})) LIMIT 1",
        [scope.org_id, parameter, *parameters, *parameters],
    )
