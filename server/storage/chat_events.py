"""The events of chats that are in progress, in batches. Gone when the chat is over or deleted.

Helpers for `chats.py` and `sessions.py`: every function takes the connection and runs inside the caller's
transaction.
"""

from collections.abc import Sequence
from typing import NamedTuple

from generated.parley.v1.chat_pb2 import ChatEvent
from generated.parley.v1.chat_record_pb2 import ChatEventBatch, ConversationState
from generated.parley.v1.message_pb2 import ProviderState
from server.storage.database import Connection, Cursor

_ORPHANS = (
    "NOT EXISTS (SELECT 1 FROM chats WHERE chats.org_id = chat_events.org_id AND id = chat_id "
    "AND status = 'in_progress')"
)


class EventBatch(NamedTuple):
    """Consecutive events of one chat, with the data that is stored beside them."""

    org_id: str
    chat_id: str
    events: Sequence[ChatEvent]
    state: ConversationState | None = None
    """The state of the conversation after them."""
    provider_states: Sequence[ProviderState] = ()
    """The provider states of the rounds among them."""


_BATCHES = 4
"""Number of batches read at once; each is at most as long as the unread part of a stream."""


def lock(connection: Connection, chat_id: str) -> None:
    """Prevent other transactions from deleting, ending or extending a chat in progress until this one ends."""
    connection.lock(f"running:{chat_id}")


def running_in(connection: Connection, org_id: str, session_id: str) -> list[str]:
    """Return the chats of a session that are in progress, in the order in which they must be locked."""
    return [
        chat_id
        for (chat_id,) in connection.execute(
            "SELECT id FROM chats WHERE org_id = ? AND session_id = ? AND status = 'in_progress' ORDER BY id",
            [org_id, session_id],
        ).fetchall()
    ]


def insert(connection: Connection, batches: Sequence[EventBatch]) -> dict[int, Cursor]:
    """Store events of chats in progress; return a cursor for each batch, by its place: its `rowcount`, which
    need not be read before the commit, is 0 when the chat is over or deleted.

    The content of `started` is in the record, and a batch without anything else is not stored.
    """
    # In the order of their ids, as every transaction that locks several does.
    rows = sorted(
        (batch.chat_id, place, body) for place, batch in enumerate(batches) if (body := _body(batch))
    )
    for chat_id, _, _ in rows:
        lock(connection, chat_id)
    return {
        place: connection.execute(
            "INSERT INTO chat_events (org_id, chat_id, sequence, body) SELECT ?1, ?2, ?3, ?4 WHERE EXISTS ("
            "SELECT 1 FROM chats WHERE org_id = ?1 AND id = ?2 AND status = 'in_progress')",
            [batches[place].org_id, chat_id, body.first, body.data],
        )
        for chat_id, place, body in rows
    }


def read(connection: Connection, org_id: str, chat_id: str) -> Sequence[ChatEventBatch]:
    """Return all stored batches of a chat."""
    return [
        ChatEventBatch.FromString(body)
        for (body,) in connection.execute(
            "SELECT body FROM chat_events WHERE org_id = ? AND chat_id = ? ORDER BY sequence",
            [org_id, chat_id],
        ).fetchall()
    ]


def read_on(connection: Connection, org_id: str, chat_id: str, start: int) -> Sequence[ChatEventBatch]:
    """Return some batches of a chat, from the one with event `start` on; empty when there are no more."""
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
    """Delete the events of a chat that ends or is deleted, and prevent new ones until the transaction ends."""
    lock(connection, chat_id)
    connection.execute("DELETE FROM chat_events WHERE org_id = ? AND chat_id = ?", [org_id, chat_id])


def has_orphans(connection: Connection) -> bool:
    """Return whether events exist without a chat in progress; this version leaves none."""
    return connection.execute(f"SELECT 1 FROM chat_events WHERE {_ORPHANS} LIMIT 1").fetchone() is not None


def delete_orphans(connection: Connection) -> int:
    """Delete such events; return the number of batches."""
    return connection.execute(f"DELETE FROM chat_events WHERE {_ORPHANS}").rowcount


class _Body(NamedTuple):
    first: int
    """The sequence number of the first event."""
    data: bytes


def _body(batch: EventBatch) -> _Body | None:
    """Return the stored form, without the members that all events of a chat share."""
    events = [_own_members(one) for one in batch.events if not one.HasField("started")]
    if not events:
        return None
    data = ChatEventBatch(events=events, state=batch.state, provider_states=batch.provider_states)
    return _Body(events[0].sequence, data.SerializeToString())


def _own_members(event: ChatEvent) -> ChatEvent:
    if not event.chat_id:  # not given to it yet
        return event
    own = ChatEvent()
    own.CopyFrom(event)
    own.ClearField("chat_id")
    own.ClearField("session_id")
    return own
