"""Chats as they are read: their rows, their messages beside them, and pages that fit into an answer. Writes
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.message_pb2 import Message
from server.content.budget import MOST_BYTES, omit, omit_in_list, whole
from server.core.clock import timestamp
from server.storage import threads
from server.storage.database import Connection
from server.storage.listing import Listing, Place, last_of

COLUMNS = "id, session_id, thread_id, first_seq, output_seq, last_seq, private, record, body"
ASSISTANT_VERSION = (
    "(SELECT version FROM assistants WHERE assistants.org_id = chats.org_id "
    "AND assistants.id = chats.assistant_id)"
)
_SHORT = (
    "id, org_id, created_at, updated_at, assistant_id, squad_id, session_id, previous_chat_id, status, cost"
)
SIZE = (
    "length(body) + coalesce((SELECT sum(length(messages.body)) FROM messages "
    "WHERE messages.org_id = chats.org_id AND messages.thread_id = chats.thread_id "
    "AND messages.seq BETWEEN chats.first_seq AND chats.last_seq), 0)"
)
"""Bytes of a chat as lists show it, where each text has one name."""


@dataclass(frozen=True, slots=True)
class StoredChat:
    """A chat and the positions of its messages. `chat` is without messages; its output holds only choices
    beyond the first."""

    id: str
    session_id: str | None
    thread_id: str
    first_seq: int
    output_seq: int
    last_seq: int
    private: dict[str, Any] | None
    record: ChatRecord
    chat: Chat
    assistant_version: int | None = None
    """The version of its assistant when the chat was read, where that was asked for."""

    @property
    def is_over(self) -> bool:
        """Whether the exchange has ended."""
        return self.chat.status != "in_progress"


def listed(connection: Connection, listing: Listing) -> tuple[list[Chat], Place | None]:
    """Return a page of chats, each with its own input only, and the position of the last one when another
    page follows.

    Chats are shortened when all of them would be too large for one answer.
    """
    found = connection.execute(*listing.select(f"{_SHORT}, {SIZE}", "chats")).fetchall()
    rows = found[: listing.limit]
    fitting = [row[0] for row, fits in zip(rows, whole([size for *_, size in rows]), strict=True) if fits]
    shown = shown_alone(connection, rows[0][1], fitting) if fitting else {}
    chats = [shown[row[0]].chat if row[0] in shown else _short(row) for row in rows]
    return chats, last_of(chats) if len(found) > len(rows) else None


def from_row(row: tuple[Any, ...]) -> StoredChat:
    """Return the chat in a row of the table."""
    *places, private, record, body = row
    return StoredChat(
        *(
            *places,
            orjson.loads(private) if private else None,
            ChatRecord.FromString(record),
            Chat.FromString(body),
        )
    )


def input_messages(connection: Connection, stored: StoredChat) -> list[Message]:
    """Return the input of a chat."""
    if not stored.is_over:
        return list(stored.record.said)
    return threads.between(
        connection, stored.chat.org_id, stored.thread_id, stored.first_seq, stored.output_seq - 1
    )


def shown_alone(connection: Connection, org_id: str, ids: Sequence[str]) -> dict[str, StoredChat]:
    """Return chats with their own input and output in `chat`, by id; always in two statements."""
    listed_ids = ", ".join("?" * len(ids))
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM chats WHERE org_id = ? AND id IN ({listed_ids})", [org_id, *ids]
    )
    own = connection.execute(
        "SELECT chats.id, messages.seq, messages.body FROM chats CROSS JOIN messages WHERE chats.org_id = ? "
        f"AND chats.id IN ({listed_ids}) AND messages.org_id = chats.org_id AND messages.thread_id = chats.thread_id "
        "AND messages.seq BETWEEN chats.first_seq AND chats.last_seq ORDER BY chats.id, messages.seq",
        [org_id, *ids],
    ).fetchall()
    messages: dict[str, list[tuple[int, Message]]] = {chat_id: [] for chat_id in ids}
    for chat_id, seq, body in own:
        messages[chat_id].append((seq, Message.FromString(body)))
    shown = {stored.id: stored for stored in map(from_row, rows.fetchall())}
    for stored in shown.values():
        _fill_alone(stored, messages[stored.id])
    return shown


def _fill_alone(stored: StoredChat, own: list[tuple[int, Message]]) -> None:
    own_input = [message for seq, message in own if seq < stored.output_seq]
    _filled(
        stored,
        own_input if stored.is_over else list(stored.record.said),
        [message for seq, message in own if seq >= stored.output_seq],
    )


def _short(row: tuple[Any, ...]) -> Chat:
    """Return a chat without its messages, for a page that has no room for them."""
    (
        chat_id,
        org_id,
        created_at,
        updated_at,
        assistant_id,
        squad_id,
        session_id,
        previous_id,
        status,
        cost,
        _,
    ) = row
    chat = Chat(
        id=chat_id,
        org_id=org_id,
        created_at=timestamp(created_at),
        updated_at=timestamp(updated_at),
        assistant_id=assistant_id,
        squad_id=squad_id,
        session_id=session_id,
        previous_chat_id=previous_id,
        status=status,
        cost=cost,
    )
    omit_in_list(
        chat,
        "/chat/{id}",
        "assistant",
        "assistantOverrides",
        "squad",
        "name",
        "input",
        "stream",
        "messages",
        "output",
        "costs",
        "error",
        "transport",
        "knowledge",
        "warnings",
    )
    return chat


def context(connection: Connection, stored: StoredChat) -> tuple[list[Message], bool]:
    """Return the context that a chat shows, and whether that is all of it."""
    if not stored.is_over:
        return input_messages(connection, stored), True
    return threads.latest(connection, stored.chat.org_id, stored.thread_id, MOST_BYTES, stored.output_seq - 1)


def with_messages(
    connection: Connection, stored: StoredChat, prior_input: list[Message], is_whole: bool = True
) -> Chat:
    """Return the chat with its context and messages."""
    chat = stored.chat
    if not is_whole:
        omit(chat, "messages")
    return _filled(
        stored,
        prior_input,
        threads.between(connection, chat.org_id, stored.thread_id, stored.output_seq, stored.last_seq),
    )


def _filled(stored: StoredChat, prior_input: list[Message], answered: list[Message]) -> Chat:
    chat = stored.chat
    alternatives = list(chat.output)
    del chat.output[:]
    chat.messages.extend(prior_input)
    chat.output.extend(answered)
    chat.output.extend(alternatives)
    return chat
