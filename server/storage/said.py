"""Messages in whatever thread they are: by the ids that an input names instead of repeating them, and by calls it repeats.

Helper for `chats.py`: takes the connection and runs inside the caller's transaction.
"""

from collections.abc import Iterable

from generated.parley.v1.message_pb2 import Message
from server.storage import threads
from server.storage.database import Connection
from server.storage.scope import Scope


def under(connection: Connection, scope: Scope, ids: Iterable[str], most_bytes: int) -> dict[str, Message] | None:
    """The messages of these ids that belong to a chat or a session of the scope; None when they have more than
    `most_bytes` together.
    """
    found: dict[str, Message] = {}
    for message_id in ids:
        message = _first(connection, scope, threads.HAS_ID, threads.beginning(message_id))
        if message is None:
            continue
        found[message_id] = message
        most_bytes -= threads.size_of([message])
        if most_bytes < 0:
            return None
    return found


def with_calls(connection: Connection, scope: Scope, keys: Iterable[str], most_bytes: int) -> dict[str, Message]:
    """The messages whose calls have these keys and that belong to a chat or a session of the scope, as many of them as
    have `most_bytes` together, in the order of the keys.
    """
    found: dict[str, Message] = {}
    for key in keys:
        message = _first(connection, scope, threads.HAS_CALLS_KEY, threads.ending(key))
        if message is None:
            continue
        most_bytes -= threads.size_of([message])
        if most_bytes < 0:
            break
        found[key] = message
    return found


def _first(connection: Connection, scope: Scope, which: str, parameter: bytes) -> Message | None:
    condition, parameters = scope.where()
    row = connection.execute(
        f"SELECT body FROM messages WHERE org_id = ? AND {which} AND ("
        "EXISTS (SELECT 1 FROM chats WHERE chats.thread_id = messages.thread_id "
        f"AND messages.seq BETWEEN chats.first_seq AND chats.last_seq AND {condition}) OR "
        f"EXISTS (SELECT 1 FROM sessions WHERE sessions.thread_id = messages.thread_id AND {condition})) LIMIT 1",
        [scope.org_id, parameter, *parameters, *parameters]).fetchone()
    return Message.FromString(row[0]) if row else None
