"""Messages by their ids, in whatever thread they are: what an input names instead of repeating it.

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
    condition, parameters = scope.where()
    found: dict[str, Message] = {}
    for message_id in ids:
        row = connection.execute(
            f"SELECT body FROM messages WHERE org_id = ? AND {threads.HAS_ID} AND ("
            "EXISTS (SELECT 1 FROM chats WHERE chats.thread_id = messages.thread_id "
            f"AND messages.seq BETWEEN chats.first_seq AND chats.last_seq AND {condition}) OR "
            f"EXISTS (SELECT 1 FROM sessions WHERE sessions.thread_id = messages.thread_id AND {condition})) LIMIT 1",
            [scope.org_id, threads.beginning(message_id), *parameters, *parameters]).fetchone()
        if row is None:
            continue
        found[message_id] = Message.FromString(row[0])
        most_bytes -= threads.size_of([found[message_id]])
        if most_bytes < 0:
            return None
    return found
