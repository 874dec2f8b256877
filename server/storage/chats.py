"""Chats: one exchange each. Their messages are in `threads.py`; runs no model and knows no door."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import Chat, ChatEvent, PaginationMeta
from generated.parley.v1.chat_record_pb2 import ChatRecord, ConversationState
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.message_pb2 import Message, ProviderState
from server.core.clock import ms_of
from server.core.errors import NotFound
from server.storage import chat_events, threads
from server.storage.chat_events import EventBatch
from server.storage.completions import searchable
from server.storage.database import Connection, Cursor, Database
from server.storage.idempotency import forget, making
from server.storage.listing import listing_of
from server.storage.message_lookup import by_calls, by_ids
from server.storage.outbox import Delivery, Outbox
from server.storage.scope import Scope
from server.storage.sessions import NewSession, insert_session, lock_session
from server.storage.stored_chats import (
    ASSISTANT_VERSION,
    COLUMNS,
    StoredChat,
    context,
    from_row,
    input_messages,
    listed,
    with_messages,
)
from server.storage.usage import preserve_usage

_FILTERS = {
    "id": "id",
    "assistant_id": "assistant_id",
    "squad_id": "squad_id",
    "session_id": "session_id",
    "previous_chat_id": "previous_chat_id",
}

_BRIEF = 128
"""Events whose statements take less than a millisecond."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A chat that no server runs any more, with its stored events."""

    chat: Chat
    key_id: str
    private: dict[str, Any] | None
    provider: str
    model: str
    record: ChatRecord
    previous: StoredChat | None
    events: list[ChatEvent]
    provider_states: list[ProviderState]
    """The provider states of the rounds among the events, in order."""
    state: ConversationState | None
    """The state from which the next exchange continues, after those events."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The changes to the record by one exchange."""

    chat: Chat
    """Without messages and without output."""
    key_id: str
    input_messages: list[Message]
    """The input."""
    answered: list[Message]
    """The first choice, its tool rounds included, from which the context continues."""
    alternatives: list[Message]
    """The other choices."""
    previous: StoredChat | None
    new_session: NewSession | None
    """A session to be made in the same commit."""
    private: dict[str, Any] | None
    """The data that `body` masks and a later turn needs."""
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    record: ChatRecord = field(default_factory=ChatRecord)
    """The data stored beside the chat."""
    begun: bool = False
    """Whether its beginning is already stored."""
    deliveries: Sequence[Delivery] = ()
    """The deliveries that carry the answer."""
    settles: str | None = None
    """The row of the outbox that it answers; gone in the same commit."""


class Chats:
    """The stored chats."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def record(self, exchange: Exchange) -> None:
        """Write an exchange to disk and append its messages to its thread. Raises NotFound when the record
        that it continues is gone."""
        making("chat", exchange.chat.id)
        if await self._database.write(
            lambda connection: _insert(connection, self._outbox, exchange), brief=True, line=exchange.chat.id
        ):
            self._outbox.wake()

    async def begin(self, beginning: Exchange, batch: EventBatch) -> None:
        """Put the beginning of an exchange that runs on disk, and its first events. Raises NotFound when its session
        was deleted meanwhile."""
        making("chat", batch.chat_id)
        if await self._database.write(
            lambda connection: _begin(connection, self._outbox, beginning, batch),
            brief=True,
            line=batch.chat_id,
        ):
            self._outbox.wake()

    async def journal(self, batches: Sequence[EventBatch]) -> list[bool]:
        """Put events of exchanges that have begun on disk, all of them or none; for each batch whether its chat is
        still in progress there."""
        size = sum(len(batch.events) for batch in batches)
        stored = await self._database.write(
            lambda connection: chat_events.insert(connection, batches), brief=size <= _BRIEF, line="journal"
        )
        # Read after the commit, which therefore goes out with the statements.
        return [place not in stored or stored[place].rowcount > 0 for place in range(len(batches))]

    async def in_progress(self) -> list[tuple[str, str]]:
        """Return (org id, chat id) of the chats in progress on disk, of any server, dead ones included."""
        return await self._database.read(
            lambda connection: connection.execute(
                "SELECT org_id, id FROM chats WHERE status = 'in_progress'"
            ).fetchall()
        )

    async def running_in(self, org_id: str, session_id: str) -> list[str]:
        """Return the ids of a session's chats in progress on disk."""
        return await self._database.read(
            lambda connection: chat_events.running_in(connection, org_id, session_id)
        )

    async def sweep_events(self) -> int:
        """Delete events that earlier versions left of chats that are over or gone; return the number of
        batches."""
        if not await self._database.read(chat_events.has_orphans):
            return 0
        return await self._database.write(chat_events.delete_orphans, erases=True)

    async def unfinished(self, org_id: str, chat_id: str) -> Unfinished | None:
        """Return a chat that is in progress on disk, for callers that know that no server runs it; None when
        it is over or gone."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT id, key_id, org_id, private, provider, model, record, body FROM chats "
                "WHERE org_id = ? AND id = ? AND status = 'in_progress'",
                [org_id, chat_id],
            ).fetchone()
        )
        return await self._unfinished(row) if row else None

    async def events(self, org_id: str, chat_id: str, start: int) -> list[ChatEvent]:
        """Return some events of a chat in progress, from number `start` on; empty when there are no more."""
        batches = await self._database.read(
            lambda connection: chat_events.read_on(connection, org_id, chat_id, start)
        )
        return [event for batch in batches for event in batch.events if event.sequence >= start]

    async def find(self, scope: Scope, chat_id: str | None) -> StoredChat:
        """Return a chat. Raises NotFound for an absent chat, another caller's, or None (an invalid id)."""
        condition, parameters = scope.where()
        row = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {COLUMNS}, {ASSISTANT_VERSION} FROM chats WHERE id = ? AND {condition}",
                [chat_id, *parameters],
            ).fetchone()
        )
        if row is None:
            raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
        return replace(from_row(row[:-1]), assistant_version=row[-1])

    async def within(self, stored: StoredChat, most_bytes: int) -> tuple[int, list[Message] | None]:
        """Return the size in bytes of the context that a chat leaves, and its messages, oldest first, unless they
        have more than `most_bytes`."""
        return await self._database.read(
            lambda connection: threads.within(
                connection, stored.chat.org_id, stored.thread_id, most_bytes, stored.last_seq
            )
        )

    async def history(self, stored: StoredChat) -> list[Message]:
        """Return the context that a chat leaves: all messages up to its output."""
        return await self._database.read(
            lambda connection: threads.read(connection, stored.chat.org_id, stored.thread_id, stored.last_seq)
        )

    async def input_messages(self, stored: StoredChat) -> list[Message]:
        """Return the input of a chat."""
        return await self._database.read(lambda connection: input_messages(connection, stored))

    async def messages_by_id(
        self, scope: Scope, ids: Iterable[str], most_bytes: int
    ) -> dict[str, Message] | None:
        """Return messages by their ids; see `message_lookup.by_ids`."""
        return await self._database.read(
            lambda connection: by_ids(connection, scope, ids, most_bytes), long=True
        )

    async def messages_by_calls(
        self, scope: Scope, keys: Iterable[str], most_bytes: int
    ) -> dict[str, Message]:
        """Return messages by the keys of their calls; see `message_lookup.by_calls`."""
        return await self._database.read(
            lambda connection: by_calls(connection, scope, keys, most_bytes), long=True
        )

    async def input_page(
        self, stored: StoredChat, after: str | None, ascending: bool, limit: int
    ) -> tuple[list[Message], bool]:
        """Return one page of a chat's input; see `threads.page`."""
        if not stored.is_over:
            return (list(stored.record.said) if ascending else list(stored.record.said)[::-1]), False
        return await self._database.read(
            lambda connection: threads.page(
                connection,
                stored.chat.org_id,
                stored.thread_id,
                (stored.first_seq, stored.output_seq - 1),
                after=after,
                ascending=ascending,
                limit=limit,
            ),
            long=True,
        )

    async def get(self, scope: Scope, chat_id: str | None) -> Chat:
        """Return a chat with its whole context. Raises NotFound."""
        return await self.whole(await self.find(scope, chat_id))

    async def whole(self, stored: StoredChat) -> Chat:
        """Return a chat with as much of its context as fits into an answer."""
        return await self._database.read(
            lambda connection: with_messages(connection, stored, *context(connection, stored))
        )

    async def list(self, scope: Scope, request: ListChatsRequest) -> tuple[list[Chat], PaginationMeta]:
        """Return one page of chats, each with its own input only; shortened when they are too large for one
        answer."""
        listing = listing_of(request, scope, _FILTERS)

        def work(connection: Connection) -> tuple[list[Chat], PaginationMeta]:
            total = connection.execute(*listing.count_all("chats"))  # read last: one round trip less
            chats, following = listed(connection, listing)
            return chats, listing.metadata(total.fetchone()[0], following)

        return await self._database.read(work, long=True)

    async def delete(self, scope: Scope, chat_id: str | None) -> Chat:
        """Delete a chat and return its last state. Messages that other chats or its session need remain.
        Raises NotFound."""
        stored = await self.find(scope, chat_id)
        input_messages = await self.input_messages(stored)
        chat = await self.whole(stored)
        await self._database.write(
            lambda connection: self._delete(connection, chat, input_messages, stored.private), erases=True
        )
        self._outbox.wake()
        return chat

    def _delete(
        self,
        connection: Connection,
        chat: Chat,
        input_messages: builtins.list[Message],
        private: dict[str, Any] | None,
    ) -> None:
        if chat.HasField("session_id"):
            lock_session(connection, chat.org_id, chat.session_id)
        _delete(connection, chat.org_id, chat.id)
        self._outbox.forget(connection, chat.org_id, [chat.id])
        self._outbox.announce(connection, "chat.deleted", _alone(chat, input_messages, chat.output), private)

    async def alone_before(self, org_id: str, until: int, limit: int) -> builtins.list[str]:
        """Return chats outside of sessions that are over and were created before `until`, oldest first."""
        return await self._database.read(
            lambda connection: [
                chat_id
                for (chat_id,) in connection.execute(
                    "SELECT id FROM chats WHERE org_id = ? AND created_at < ? AND session_id IS NULL AND status <> "
                    "'in_progress' "
                    "ORDER BY created_at LIMIT ?",
                    [org_id, until, limit],
                )
            ],
            long=True,
        )

    async def _unfinished(self, row: tuple[Any, ...]) -> Unfinished:
        chat_id, key_id, org_id, private, provider, model, record, body = row
        batches = await self._database.read(lambda connection: chat_events.read(connection, org_id, chat_id))
        chat = Chat.FromString(body)
        previous = None
        if chat.HasField("previous_chat_id"):
            with contextlib.suppress(NotFound):
                previous = await self.find(Scope(org_id), chat.previous_chat_id)
        return Unfinished(
            chat,
            key_id,
            orjson.loads(private) if private else None,
            provider,
            model,
            ChatRecord.FromString(record),
            previous,
            [event for batch in batches for event in batch.events],
            [state for batch in batches for state in batch.provider_states],
            batches[-1].state if batches and batches[-1].HasField("state") else None,
        )


def _insert(connection: Connection, outbox: Outbox, exchange: Exchange) -> bool:
    """Write an exchange that is over, replacing its stored beginning; return whether the outbox has new rows.

    What has to be read is selected first, and read together; the rest goes out with the commit.
    """
    chat, news = exchange.chat, bool(exchange.settles)
    ended = _end(connection, chat.org_id, chat.id) if exchange.begun else None
    if exchange.new_session and not exchange.begun:
        news |= insert_session(connection, outbox, exchange.new_session)
    if exchange.settles:
        outbox.settle(connection, chat.org_id, exchange.settles)
    announce = outbox.announcement(
        connection,
        "chat.created",
        chat,
        exchange.private,
        lambda: _alone(chat, exchange.input_messages, [*exchange.answered, *exchange.alternatives]),
    )
    place = _place(connection, exchange)
    if ended is not None and not ended.rowcount:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    thread_id, first_seq = place()
    output_seq = first_seq + len(exchange.input_messages)
    del chat.output[:]  # left by an earlier run of this work that failed half-way
    chat.output.extend(exchange.alternatives)
    _write(connection, exchange, thread_id, first_seq, output_seq)
    del chat.output[:]
    threads.append(
        connection, chat.org_id, thread_id, first_seq, [*exchange.input_messages, *exchange.answered]
    )
    news |= outbox.put(connection, exchange.deliveries)
    return announce() or news


def _alone(chat: Chat, input_messages: Sequence[Message], output: Sequence[Message]) -> Chat:
    """Return the chat as lists show it, with its own input only, so that announcing it costs no more than its
    own size."""
    alone = Chat()
    alone.CopyFrom(chat)
    del alone.messages[:], alone.output[:]
    alone.messages.extend(input_messages)
    alone.output.extend(output)
    return alone


def _begin(connection: Connection, outbox: Outbox, beginning: Exchange, batch: EventBatch) -> bool:
    news = False
    if beginning.new_session:
        news = insert_session(connection, outbox, beginning.new_session)
    elif beginning.chat.HasField("session_id"):
        touched = _touch_session(connection, beginning.chat, beginning.record)
        if not touched.rowcount:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    _write(connection, beginning, batch.chat_id, 0, 0)
    chat_events.insert(connection, [batch])
    return news


def _end(connection: Connection, org_id: str, chat_id: str) -> Cursor:
    """Delete the beginning of an exchange: one row, unless the chat was deleted meanwhile."""
    chat_events.delete(connection, org_id, chat_id)
    return connection.execute("DELETE FROM chats WHERE org_id = ? AND id = ?", [org_id, chat_id])


def _write(
    connection: Connection, exchange: Exchange, thread_id: str, first_seq: int, output_seq: int
) -> None:
    chat = exchange.chat
    connection.execute(
        "INSERT INTO chats (id, org_id, key_id, session_id, previous_chat_id, assistant_id, squad_id, status, created_at, "
        "updated_at, thread_id, first_seq, output_seq, last_seq, provider, model, prompt_tokens, completion_tokens, cost, "
        "private, record, body, estimated, completion) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            chat.id,
            chat.org_id,
            exchange.key_id,
            _or_none(chat, "session_id"),
            _or_none(chat, "previous_chat_id"),
            _or_none(chat, "assistant_id"),
            _or_none(chat, "squad_id"),
            chat.status,
            ms_of(chat.created_at),
            ms_of(chat.updated_at),
            thread_id,
            first_seq,
            output_seq,
            output_seq + len(exchange.answered) - 1,
            exchange.provider,
            exchange.model,
            exchange.prompt_tokens,
            exchange.completion_tokens,
            chat.cost,
            orjson.dumps(exchange.private) if exchange.private else None,
            exchange.record.SerializeToString(),
            chat.SerializeToString(),
            int(any(part.estimated for part in chat.costs)),
            searchable(exchange.record),
        ],
    )


def _place(connection: Connection, exchange: Exchange) -> Callable[[], tuple[str, int]]:
    """Select the thread that an exchange joins, and its first position there; return what reads them."""
    chat, previous = exchange.chat, exchange.previous
    if chat.HasField("session_id"):
        _touch_session(connection, chat, exchange.record)
        joined = threads.session_end(connection, chat.org_id, chat.session_id)
        return lambda: _joined(joined)
    if previous is None:
        return lambda: (chat.id, 0)
    threads.lock(connection, chat.org_id, previous.thread_id)
    there = connection.execute("SELECT 1 FROM chats WHERE org_id = ? AND id = ?", [chat.org_id, previous.id])
    end = threads.next_seq(connection, chat.org_id, previous.thread_id)
    return lambda: _continued(connection, chat, previous, there, end.fetchone()[0])


def _joined(session_end: Cursor) -> tuple[str, int]:
    row: tuple[str, int] | None = session_end.fetchone()
    if row is None:
        raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    return row


def _continued(
    connection: Connection, chat: Chat, previous: StoredChat, there: Cursor, end: int
) -> tuple[str, int]:
    """Return the place at the end of the chain, or in a fork that begins here."""
    if not there.fetchone() and not _has_messages(connection, previous):
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    if previous.session_id is None and end == previous.last_seq + 1:
        return previous.thread_id, end
    threads.fork(connection, chat.org_id, chat.id, previous.thread_id, previous.last_seq)
    return chat.id, 0


def _has_messages(connection: Connection, stored: StoredChat) -> bool:
    """Return whether the messages of a deleted chat still exist: another may have taken their place."""
    org_id = stored.chat.org_id
    last = threads.between(connection, org_id, stored.thread_id, stored.last_seq, stored.last_seq)
    return bool(last) and bool(last[0].id) and last[0].id == stored.record.message_id


def _touch_session(connection: Connection, chat: Chat, record: ChatRecord) -> Cursor:
    """Mark the session of a chat as changed now, with the chat's changes to it: one row, unless it is deleted."""
    state = record.state.SerializeToString() if record.HasField("state") else None
    return connection.execute(
        "UPDATE sessions SET updated_at = CASE WHEN updated_at > ?1 THEN updated_at ELSE ?1 END, "
        "state = coalesce(?2, state) WHERE id = ?3 AND org_id = ?4",
        [ms_of(chat.updated_at), state, chat.session_id, chat.org_id],
    )


def _delete(connection: Connection, org_id: str, chat_id: str) -> None:
    chat_events.delete(connection, org_id, chat_id)
    forget(connection, org_id, "chat", chat_id)
    preserve_usage(connection, org_id, "id = ?", chat_id)
    row = connection.execute(
        "DELETE FROM chats WHERE org_id = ? AND id = ? RETURNING thread_id", [org_id, chat_id]
    ).fetchone()
    if row is None:
        raise NotFound("chat not found", reason="CHAT_NOT_FOUND")
    threads.discard(connection, org_id, row[0])


def _or_none(chat: Chat, field: str) -> str | None:
    return getattr(chat, field) if chat.HasField(field) else None
