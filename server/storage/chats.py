"""Chats: one exchange each. Their messages are in `threads.py`; runs no model and knows no door."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, PaginationMeta
from generated.parley.v1.chat_record_pb2 import ChatEventBatch, ChatRecord, ConversationState
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.message_pb2 import Message
from server.clock import ms_of
from server.errors import NotFound
from server.storage import threads
from server.storage.database import Database
from server.storage.idempotency import forget, making
from server.storage.listing import listing_of
from server.storage.outbox import Delivery, Outbox
from server.storage.scope import Scope
from server.storage.sessions import NewSession, insert_session
from server.storage.usage import keep_numbers

_COLUMNS = "id, session_id, thread_id, first_seq, output_seq, last_seq, private, record, body"
_FILTERS = {"id": "id", "assistant_id": "assistant_id", "squad_id": "squad_id", "session_id": "session_id",
            "previous_chat_id": "previous_chat_id"}


@dataclass(frozen=True, slots=True)
class StoredChat:
    """A chat and where its messages are. `chat` is without messages; its output holds only choices beyond the first."""

    id: str
    session_id: str | None
    thread_id: str
    first_seq: int
    output_seq: int
    last_seq: int
    private: dict[str, Any] | None
    record: ChatRecord
    chat: Chat

    @property
    def is_over(self) -> bool:
        return self.chat.status != "in_progress"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A chat that no server runs any more, and what was told of it."""

    chat: Chat
    key_id: str
    private: dict[str, Any] | None
    provider: str
    model: str
    record: ChatRecord
    previous: StoredChat | None
    events: list[ChatEvent]
    state: ConversationState | None
    """What the next exchange goes on from, after those events."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one exchange adds to the record."""

    chat: Chat
    """Without messages and without output."""
    key_id: str
    said: list[Message]
    """The input."""
    answered: list[Message]
    """The first choice, its rounds of tools included: what the context goes on from."""
    alternatives: list[Message]
    """The other choices."""
    previous: StoredChat | None
    new_session: NewSession | None
    """A session to be made in the same commit."""
    private: dict[str, Any] | None
    """What `body` has masked and a later turn needs."""
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    record: ChatRecord = field(default_factory=ChatRecord)
    """What is kept beside the chat."""
    begun: bool = False
    """Whether its beginning was kept before."""
    deliveries: Sequence[Delivery] = ()
    """What the answer is to be carried by."""
    settles: str | None = None
    """The row of the outbox that it answers; gone in the same commit."""


class Chats:
    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def record(self, exchange: Exchange) -> None:
        """Put an exchange on disk, its messages at the end of its thread. Raises NotFound when what it continues is gone."""
        making("chat", exchange.chat.id)
        await self._database.write(lambda connection: _insert(connection, self._outbox, exchange))
        self._outbox.wake()

    async def keep_events(self, chat_id: str, events: Sequence[ChatEvent], beginning: Exchange | None,
                          state: ConversationState | None = None) -> None:
        """Keep what happened in an exchange that runs, and its state then; the first time together with its beginning."""
        making("chat", chat_id)
        await self._database.write(lambda connection: _keep(connection, self._outbox, chat_id, events, beginning, state))
        if beginning:
            self._outbox.wake()

    async def unfinished(self) -> list[Unfinished]:
        """The chats that are in progress on disk; for a server that starts, those it cannot finish."""
        rows = self._database.read.execute(
            "SELECT id, key_id, org_id, private, provider, model, record, body FROM chats WHERE status = 'in_progress'")
        return [await self._unfinished(row) for row in rows.fetchall()]

    async def find(self, scope: Scope, chat_id: str | None) -> StoredChat:
        """Raises NotFound for an absent chat, another caller's, or None (an id that could not be read)."""
        condition, parameters = scope.where()
        row = self._database.read.execute(
            f"SELECT {_COLUMNS} FROM chats WHERE id = ? AND {condition}", [chat_id, *parameters]).fetchone()
        if row is None:
            raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
        return _from_row(row)

    async def history(self, stored: StoredChat) -> list[Message]:
        """The context that a chat leaves: everything said up to its output."""
        return threads.read(self._database.read, stored.thread_id, stored.last_seq)

    async def said(self, stored: StoredChat) -> list[Message]:
        """The input of a chat."""
        if not stored.is_over:
            return list(stored.record.said)
        return threads.between(self._database.read, stored.thread_id, stored.first_seq, stored.output_seq - 1)

    async def get(self, scope: Scope, chat_id: str | None) -> Chat:
        """The chat with its whole context. Raises NotFound."""
        return await self.whole(await self.find(scope, chat_id))

    async def whole(self, stored: StoredChat) -> Chat:
        """A chat with its whole context."""
        if not stored.is_over:
            return self._with_messages(stored, await self.said(stored))
        return self._with_messages(stored, threads.read(self._database.read, stored.thread_id, stored.output_seq - 1))

    async def list(self, scope: Scope, request: ListChatsRequest) -> tuple[list[Chat], PaginationMeta]:
        """One page of chats, each with its own input only."""
        listing = listing_of(request, scope, _FILTERS)
        read = self._database.read
        page = [_from_row(row) for row in read.execute(*listing.select(_COLUMNS, "chats")).fetchall()]
        total = read.execute(*listing.count("chats")).fetchone()[0]
        return [self._with_messages(stored, await self.said(stored)) for stored in page], listing.metadata(total)

    async def delete(self, scope: Scope, chat_id: str | None) -> Chat:
        """Delete a chat and return it as it was. What other chats or its session still need is kept. Raises NotFound."""
        stored = await self.find(scope, chat_id)
        said = await self.said(stored)
        chat = await self.whole(stored)
        await self._database.write(lambda connection: self._delete(connection, chat, said, stored.private), erases=True)
        self._outbox.wake()
        return chat

    def _delete(self, connection: sqlite3.Connection, chat: Chat, said: list[Message],
                private: dict[str, Any] | None) -> None:
        _delete(connection, chat.id)
        self._outbox.forget(connection, [chat.id])
        self._outbox.announce(connection, "chat.deleted", _alone(chat, said, chat.output), private)

    async def _unfinished(self, row: tuple) -> Unfinished:
        chat_id, key_id, org_id, private, provider, model, record, body = row
        batches = [ChatEventBatch.FromString(kept) for (kept,) in self._database.read.execute(
            "SELECT body FROM chat_events WHERE chat_id = ? ORDER BY sequence", [chat_id]).fetchall()]
        chat = Chat.FromString(body)
        previous = None
        if chat.HasField("previous_chat_id"):
            with contextlib.suppress(NotFound):
                previous = await self.find(Scope(org_id), chat.previous_chat_id)
        return Unfinished(
            chat, key_id, orjson.loads(private) if private else None, provider, model, ChatRecord.FromString(record),
            previous, [event for batch in batches for event in batch.events],
            batches[-1].state if batches and batches[-1].HasField("state") else None)

    def _with_messages(self, stored: StoredChat, context: list[Message]) -> Chat:
        chat = stored.chat
        alternatives = list(chat.output)
        del chat.output[:]
        chat.messages.extend(context)
        chat.output.extend(threads.between(self._database.read, stored.thread_id, stored.output_seq, stored.last_seq))
        chat.output.extend(alternatives)
        return chat


def _from_row(row: tuple) -> StoredChat:
    *places, private, record, body = row
    return StoredChat(*places, orjson.loads(private) if private else None, ChatRecord.FromString(record),
                      Chat.FromString(body))


def _insert(connection: sqlite3.Connection, outbox: Outbox, exchange: Exchange) -> None:
    """Write an exchange that is over, in place of its beginning when that was kept."""
    chat = exchange.chat
    if exchange.begun:
        _end(connection, chat.id)
    elif exchange.new_session:
        insert_session(connection, outbox, exchange.new_session)
    if exchange.settles:
        outbox.settle(connection, exchange.settles)
    thread_id, first_seq = _place(connection, exchange)
    output_seq = first_seq + len(exchange.said)
    chat.output.extend(exchange.alternatives)
    _write(connection, exchange, thread_id, first_seq, output_seq)
    del chat.output[:]
    threads.append(connection, thread_id, first_seq, [*exchange.said, *exchange.answered])
    outbox.put(connection, exchange.deliveries)
    outbox.announce(connection, "chat.created", _alone(chat, exchange.said, [*exchange.answered, *exchange.alternatives]),
                    exchange.private)


def _alone(chat: Chat, said: Sequence[Message], output: Sequence[Message]) -> Chat:
    """The chat as lists show it: with its own input only, so that telling of it costs no more than it does."""
    alone = Chat()
    alone.CopyFrom(chat)
    del alone.messages[:], alone.output[:]
    alone.messages.extend(said)
    alone.output.extend(output)
    return alone


def _keep(connection: sqlite3.Connection, outbox: Outbox, chat_id: str, events: Sequence[ChatEvent],
          beginning: Exchange | None, state: ConversationState | None) -> None:
    if beginning:
        if beginning.new_session:
            insert_session(connection, outbox, beginning.new_session)
        elif beginning.chat.HasField("session_id"):
            _touch_session(connection, beginning.chat, beginning.record)
        _write(connection, beginning, chat_id, 0, 0)
    # What `started` says is in the record; what is the same in all events is left out.
    kept = [_own_members(one) for one in events if not one.HasField("started")]
    if kept:
        connection.execute("INSERT INTO chat_events (chat_id, sequence, body) VALUES (?, ?, ?)",
                           [chat_id, kept[0].sequence, ChatEventBatch(events=kept, state=state).SerializeToString()])


def _own_members(event: ChatEvent) -> ChatEvent:
    """An event without what is the same in all of them."""
    kept = ChatEvent()
    kept.CopyFrom(event)
    kept.ClearField("chat_id")
    kept.ClearField("session_id")
    return kept


def _end(connection: sqlite3.Connection, chat_id: str) -> None:
    """Take away the beginning of an exchange. Raises NotFound when the chat was deleted meanwhile."""
    connection.execute("DELETE FROM chat_events WHERE chat_id = ?", [chat_id])
    if not connection.execute("DELETE FROM chats WHERE id = ?", [chat_id]).rowcount:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")


def _write(connection: sqlite3.Connection, exchange: Exchange, thread_id: str, first_seq: int, output_seq: int) -> None:
    chat = exchange.chat
    connection.execute(
        "INSERT INTO chats (id, org_id, key_id, session_id, previous_chat_id, assistant_id, squad_id, status, created_at, "
        "updated_at, thread_id, first_seq, output_seq, last_seq, provider, model, prompt_tokens, completion_tokens, cost, "
        "private, record, body, estimated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [chat.id, chat.org_id, exchange.key_id, _or_none(chat, "session_id"), _or_none(chat, "previous_chat_id"),
         _or_none(chat, "assistant_id"), _or_none(chat, "squad_id"), chat.status, ms_of(chat.created_at),
         ms_of(chat.updated_at), thread_id, first_seq, output_seq, output_seq + len(exchange.answered) - 1,
         exchange.provider, exchange.model, exchange.prompt_tokens, exchange.completion_tokens, chat.cost,
         orjson.dumps(exchange.private) if exchange.private else None, exchange.record.SerializeToString(),
         chat.SerializeToString(), any(part.estimated for part in chat.costs)])


def _place(connection: sqlite3.Connection, exchange: Exchange) -> tuple[str, int]:
    """The thread that an exchange joins, and its first place there."""
    chat, previous = exchange.chat, exchange.previous
    if chat.HasField("session_id"):
        thread_id = _touch_session(connection, chat, exchange.record)
        return thread_id, threads.next_seq(connection, thread_id)
    if previous is None:
        return chat.id, 0
    if not _is_there(connection, previous):
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    end = threads.next_seq(connection, previous.thread_id)
    if previous.session_id is None and end == previous.last_seq + 1:
        return previous.thread_id, end
    threads.fork(connection, chat.id, previous.thread_id, previous.last_seq)
    return chat.id, 0


def _is_there(connection: sqlite3.Connection, chat: StoredChat) -> bool:
    """Whether what a chat said is still there: it may be deleted while the model answers, and another be in its place."""
    if connection.execute("SELECT 1 FROM chats WHERE id = ?", [chat.id]).fetchone():
        return True
    last = threads.between(connection, chat.thread_id, chat.last_seq, chat.last_seq)
    return bool(last) and bool(last[0].id) and last[0].id == chat.record.message_id


def _touch_session(connection: sqlite3.Connection, chat: Chat, record: ChatRecord) -> str:
    """Mark the session of a chat as written now, with what the chat changed in it; its thread."""
    state = record.state.SerializeToString() if record.HasField("state") else None
    row = connection.execute(
        "UPDATE sessions SET updated_at = max(updated_at, ?), state = coalesce(?, state) WHERE id = ? AND org_id = ? "
        "RETURNING thread_id",
        [ms_of(chat.updated_at), state, chat.session_id, chat.org_id]).fetchone()
    if row is None:
        raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    return row[0]


def _delete(connection: sqlite3.Connection, chat_id: str) -> None:
    forget(connection, "chat", chat_id)
    keep_numbers(connection, "id = ?", [chat_id])
    connection.execute("DELETE FROM chat_events WHERE chat_id = ?", [chat_id])
    row = connection.execute("DELETE FROM chats WHERE id = ? RETURNING thread_id", [chat_id]).fetchone()
    if row is None:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    threads.discard(connection, row[0])


def _or_none(chat: Chat, field: str) -> str | None:
    return getattr(chat, field) if chat.HasField(field) else None
