"""What was told of chats that are in progress: their events, in batches. Gone when the chat is over or
deleted.

Helpers for `chats.py` and `sessions.py`: every function takes the connection and runs inside the caller's
transaction.
"""

from collections.abc import Iterable, Sequence

from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.chat_record_pb2 import ChatEventBatch, ConversationState
from generated.parley.v1.message_pb2 import ProviderState
from server.core.errors import NotFound
from server.storage.database import Connection

_ORPHANS = (
    "NOT EXISTS (SELECT 1 FROM chats WHERE chats.org_id = chat_events.org_id AND id = chat_id "
    "AND status = 'in_progress')"
)

_BATCHES = 4
"""Of events, read at once; each is as long as what a stream lets be unread at most."""


def lock(connection: Connection, chat_id: str) -> None:
    """Let nobody else delete or end a chat in progress, or tell of it, until the transaction ends."""
    connection.lock(f"running:{chat_id}")


def running_in(connection: Connection, org_id: str, session_id: str) -> list[str]:
    """The chats of a session that are in progress, in the order in which they are to be locked."""
    return [
        chat_id
        for (chat_id,) in connection.execute(
            "SELECT id FROM chats WHERE org_id = ? AND session_id = ? AND status = 'in_progress' ORDER BY id",
            [org_id, session_id],
        ).fetchall()
    ]


def insert(
    connection: Connection,
    org_id: str,
    chat_id: str,
    events: Iterable[ChatEvent],
    state: ConversationState | None,
    provider_states: Sequence[ProviderState],
) -> None:
    """Keep events of a chat in progress, the state after them, and what providers want back with the rounds
    among them.

    Raises NotFound when the chat was deleted meanwhile."""
    # What `started` says is in the record; what is the same in all events is left out.
    stored = [_own_members(one) for one in events if not one.HasField("started")]
    if not stored:
        return
    batch = ChatEventBatch(events=stored, state=state, provider_states=provider_states)
    lock(connection, chat_id)
    if not connection.execute(
        "INSERT INTO chat_events (org_id, chat_id, sequence, body) SELECT ?1, ?2, ?3, ?4 WHERE EXISTS ("
        "SELECT 1 FROM chats WHERE org_id = ?1 AND id = ?2 AND status = 'in_progress')",
        [org_id, chat_id, stored[0].sequence, batch.SerializeToString()],
    ).rowcount:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")


def read(connection: Connection, org_id: str, chat_id: str) -> Sequence[ChatEventBatch]:
    """All that is kept of a chat."""
    return [
        ChatEventBatch.FromString(body)
        for (body,) in connection.execute(
            "SELECT body FROM chat_events WHERE org_id = ? AND chat_id = ? ORDER BY sequence",
            [org_id, chat_id],
        ).fetchall()
    ]


def read_on(connection: Connection, org_id: str, chat_id: str, start: int) -> Sequence[ChatEventBatch]:
    """Some of what is kept of a chat, from the batch that has this event on; empty when there is no more."""
    return [
        ChatEventBatch.FromString(body)
        for (body,) in connection.execute(
            "SELECT body FROM chat_events WHERE org_id = ?1 AND chat_id = ?2 AND sequence >= coalesce((SELECT max(sequence) "
            "FROM chat_events WHERE org_id = ?1 AND chat_id = ?2 AND sequence <= ?3), 0) ORDER BY sequence "
            f"LIMIT {_BATCHES}",
            [org_id, chat_id, start],
        ).fetchall()
    ]


def delete(connection: Connection, org_id: str, chat_id: str) -> None:
    """Delete what is kept of a chat that ends or is deleted; nothing more is kept until the transaction
    ends."""
    lock(connection, chat_id)
    connection.execute("DELETE FROM chat_events WHERE org_id = ? AND chat_id = ?", [org_id, chat_id])


def has_orphans(connection: Connection) -> bool:
    """Whether there are events of chats that are over or gone: none that this version leaves."""
    return connection.execute(f"SELECT 1 FROM chat_events WHERE {_ORPHANS} LIMIT 1").fetchone() is not None


def delete_orphans(connection: Connection) -> int:
    """Delete them; how many batches there were."""
    return connection.execute(f"DELETE FROM chat_events WHERE {_ORPHANS}").rowcount


def _own_members(event: ChatEvent) -> ChatEvent:
    """An event without what is the same in all of them."""
    stored = ChatEvent()
    stored.CopyFrom(event)
    stored.ClearField("chat_id")
    stored.ClearField("session_id")
    return stored
