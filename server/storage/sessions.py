"""Sessions: containers of exchanges that share one context. Their messages are in `threads.py`."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson

from generated.parley.v1.agent_chat_service_pb2 import ListAgentChatsRequest
from generated.parley.v1.chat_pb2 import PaginationMeta
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.content.budget import MOST_BYTES, omit
from server.core.clock import Clock, ms_of, timestamp
from server.core.errors import ConversationFull, NotFound
from server.core.ids import new_id, parse_id
from server.storage import chat_events, threads
from server.storage.database import Connection, Database
from server.storage.idempotency import forget, making
from server.storage.listing import Place, listing_of
from server.storage.outbox import Outbox
from server.storage.scope import Scope
from server.storage.stored_sessions import COLUMNS, TO_JOIN, StoredSession, from_row, listed, with_costs
from server.storage.usage import preserve_usage

_ENDED = "updated_at + expiration_seconds * 1000 < ?"
_OF_ORG_KEYS = (
    "NOT EXISTS (SELECT 1 FROM keys WHERE keys.org_id = sessions.org_id AND keys.id = sessions.key_id "
    "AND kind = 'publishable')"
)
_AGENT_CHATS = 1000
_MOST_CARRIED = 20
_FILTERS = {
    "id": "id",
    "assistant_id": "assistant_id",
    "squad_id": "squad_id",
    "name": "name",
    "phone_number_id": "phone_number_id",
    "number": "customer_number",
    "customer_number": "customer_number",
    "user_id": "user_id",
    "agent_type": "agent_type",
}


class Carried(NamedTuple):
    """A session with a person's phone number."""

    key_id: str
    """The key that made it."""
    stored: StoredSession


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to create."""

    session: Session
    """Without costs; its messages are the earlier ones."""
    key_id: str
    variables: dict[str, Any]
    private: dict[str, Any] | None
    """The data that `body` masks and a later turn needs."""
    agent_type: str | None


class Sessions:
    """The stored sessions."""

    def __init__(self, database: Database, clock: Clock, outbox: Outbox) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox

    async def create(self, new: NewSession) -> None:
        """Write a new session and its messages to disk."""
        making("session", new.session.id)
        await self._write(lambda connection: insert_session(connection, self._outbox, new))

    async def find(self, scope: Scope, session_id: str | None) -> StoredSession:
        """Return a session. Raises NotFound for an absent session, another caller's, or None (an invalid id)."""
        return from_row(await self._row(scope, session_id, COLUMNS))

    async def to_join(self, scope: Scope, session_id: str | None) -> StoredSession:
        """Return a session as `find`, with what an exchange that joins it needs besides, as of the same moment."""
        row = await self._row(scope, session_id, f"{COLUMNS}, {TO_JOIN}")
        return replace(from_row(row[:-2]), assistant_version=row[-2], in_progress=row[-1])

    async def _row(self, scope: Scope, session_id: str | None, columns: str) -> tuple[Any, ...]:
        condition, parameters = scope.where()
        row: tuple[Any, ...] | None = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {columns} FROM sessions WHERE id = ? AND {condition}", [session_id, *parameters]
            ).fetchone()
        )
        if row is None:
            raise NotFound("session not found", reason="SESSION_NOT_FOUND")
        return row

    async def carried(self, org_id: str, phone_number_ids: Sequence[str], number: str) -> Sequence[Carried]:
        """Return the latest sessions between the operator's numbers and the customer's, newest first.

        Excludes sessions that a publishable key created, as was possible before: a reader of such a key could
        read a person's messages.
        """
        if not phone_number_ids:
            return []
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT key_id, {COLUMNS} FROM sessions WHERE org_id = ? AND {_OF_ORG_KEYS} "
                f"AND phone_number_id IN ({', '.join('?' * len(phone_number_ids))}) AND customer_number = ? "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                [org_id, *phone_number_ids, number, _MOST_CARRIED],
            ).fetchall()
        )
        return [Carried(row[0], from_row(row[1:])) for row in rows]

    async def within(self, stored: StoredSession, most_bytes: int) -> tuple[int, list[Message] | None]:
        """Return the size in bytes of a session's messages, and these, oldest first, unless they have more than
        `most_bytes`."""
        return await self._database.read(
            lambda connection: threads.within(connection, stored.session.org_id, stored.thread_id, most_bytes)
        )

    async def history(self, stored: StoredSession) -> list[Message]:
        """Return all messages of a session, oldest first."""
        return await self._database.read(
            lambda connection: threads.read(connection, stored.session.org_id, stored.thread_id)
        )

    async def get(self, scope: Scope, session_id: str | None) -> Session:
        """Return a session with its messages and costs. Raises NotFound."""
        stored = await self.find(scope, session_id)
        messages, is_whole = await self.latest(stored)
        stored.session.messages.extend(messages)
        if not is_whole:
            omit(stored.session, "messages")
        return await self._database.read(lambda connection: with_costs(connection, stored.session))

    async def latest(self, stored: StoredSession, before: str | None = None) -> tuple[list[Message], bool]:
        """Return the latest messages, or those before a message, that fit into an answer, and whether these
        are all.

        Raises NotFound when no message has the id `before`.
        """

        def work(connection: Connection) -> tuple[list[Message], bool]:
            last_seq = threads.LAST
            if before is not None:
                place = _place_of(connection, stored, before)
                if place is None:
                    raise NotFound(
                        "the message named by `before` is not in this chat", reason="MESSAGE_NOT_FOUND"
                    )
                last_seq = place - 1
            return threads.latest(connection, stored.session.org_id, stored.thread_id, MOST_BYTES, last_seq)

        return await self._database.read(work, long=before is not None)

    async def page(
        self, stored: StoredSession, after: str | None, ascending: bool, limit: int
    ) -> tuple[list[Message], bool]:
        """Return one page of messages; see `threads.page`."""
        return await self._database.read(
            lambda connection: threads.page(
                connection,
                stored.session.org_id,
                stored.thread_id,
                threads.ALL,
                after=after,
                ascending=ascending,
                limit=limit,
            ),
            long=True,
        )

    async def message(self, stored: StoredSession, message_id: str) -> Message | None:
        """Return one message; None when no message has this id."""

        def work(connection: Connection) -> Message | None:
            place = _place_of(connection, stored, message_id)
            if place is None:
                return None
            return threads.between(connection, stored.session.org_id, stored.thread_id, place, place)[0]

        return await self._database.read(work, long=True)

    async def of_agents(self, scope: Scope, request: ListAgentChatsRequest) -> tuple[list[Session], bool]:
        """Return the sessions that have an agent, with the members that lists show, and whether more follow.

        Raises NotFound when no chat of the caller's has the id `before`.
        """
        listing = listing_of(request, scope, _FILTERS, limit=_AGENT_CHATS)

        def work(connection: Connection) -> list[tuple[Any, ...]]:
            after = _before(connection, scope, request.before) if request.HasField("before") else None
            page = listing._replace(after=after)
            return connection.execute(
                *page.select("id, created_at, assistant_id, user_id", "sessions")
            ).fetchall()

        rows = await self._database.read(work, long=True)
        return [
            Session(
                id=session_id, created_at=timestamp(created_at), assistant_id=assistant_id, user_id=user_id
            )
            for session_id, created_at, assistant_id, user_id in rows[: listing.limit]
        ], len(rows) > listing.limit

    async def list(self, scope: Scope, request: ListSessionsRequest) -> tuple[list[Session], PaginationMeta]:
        """Return one page of sessions, without their messages; shortened when they are too large for one
        answer."""
        listing = listing_of(request, scope, _FILTERS)

        def work(connection: Connection) -> tuple[list[Session], PaginationMeta]:
            total = connection.execute(*listing.count_all("sessions"))  # read last: one round trip less
            sessions, following = listed(connection, listing)
            return sessions, listing.metadata(total.fetchone()[0], following)

        return await self._database.read(work, long=True)

    async def update(
        self,
        scope: Scope,
        session_id: str | None,
        change: Callable[[Session], None],
        messages: Sequence[Message] | None,
    ) -> Session:
        """Apply `change`, and replace the messages when `messages` is given. Raises NotFound."""
        session = (await self.find(scope, session_id)).session
        making("session", session.id)
        await self._write(
            lambda connection: self._announce_update(
                connection, session.org_id, _update(connection, session, self._clock(), change, messages)
            ),
            erases=messages is not None,
        )
        return await self.get(scope, session.id)

    async def remove(self, scope: Scope, session_id: str | None, message_id: str) -> Session:
        """Delete one message; return the session without its messages. Raises NotFound."""
        session = (await self.find(scope, session_id)).session
        await self._write(
            lambda connection: self._announce_update(
                connection, session.org_id, _remove(connection, session, self._clock(), message_id)
            ),
            erases=True,
        )
        return session

    async def append(
        self, scope: Scope, session_id: str | None, messages: Sequence[Message], most_bytes: float = math.inf
    ) -> None:
        """Append messages. Raises NotFound, and ConversationFull when they would exceed `most_bytes`."""
        session = (await self.find(scope, session_id)).session
        making("session", session.id)
        await self._write(
            lambda connection: self._announce_update(
                connection, session.org_id, _append(connection, session, self._clock(), messages, most_bytes)
            )
        )

    async def delete(self, scope: Scope, session_id: str | None) -> Session:
        """Delete a session with its chats and return its last state. Messages that forks need remain. Raises
        NotFound."""
        private = (await self.find(scope, session_id)).private
        session = await self.get(scope, session_id)
        await self._write(lambda connection: _delete(connection, self._outbox, session, private), erases=True)
        return session

    async def expired(self, org_id: str, until: int, limit: int) -> builtins.list[str]:
        """Return sessions that expired before `until`, oldest first."""
        return await self._database.read(
            lambda connection: [
                session_id
                for (session_id,) in connection.execute(
                    f"SELECT id FROM sessions WHERE org_id = ? AND created_at < ? AND {_ENDED} ORDER BY created_at LIMIT ?",
                    [org_id, until, until, limit],
                )
            ],
            long=True,
        )

    async def delete_expired(self, org_id: str, session_ids: Sequence[str], until: int) -> int:
        """Delete expired sessions; return how many still existed and had not been used again."""

        def work(connection: Connection) -> int:
            # One at a time: for several at once SQLite would search all of the org's rows.
            found = [
                connection.execute(
                    f"SELECT {COLUMNS} FROM sessions WHERE org_id = ? AND id = ? AND {_ENDED}",
                    [org_id, session_id, until],
                ).fetchone()
                for session_id in session_ids
            ]
            rows = [row for row in found if row]
            for stored in map(from_row, rows):
                _delete(connection, self._outbox, with_costs(connection, stored.session), stored.private)
            return len(rows)

        deleted = await self._database.write(work, erases=True)
        self._outbox.wake()
        return deleted

    async def _write(self, work: Callable[[Connection], object], *, erases: bool = False) -> None:
        await self._database.write(work, erases=erases)
        self._outbox.wake()

    def _announce_update(self, connection: Connection, org_id: str, session_id: str) -> None:
        """Announce that a session was updated."""
        stored = _read(connection, org_id, session_id)
        self._outbox.announce(
            connection, "session.updated", with_costs(connection, stored.session), stored.private
        )


def insert_session(connection: Connection, outbox: Outbox, new: NewSession) -> bool:
    """Write the rows of a new session, inside the caller's transaction; return whether the outbox has new
    rows."""
    session = new.session
    body = Session()
    body.CopyFrom(session)
    del body.messages[:]
    number = session.customer.fields["number"].string_value or None if "number" in session.customer else None
    connection.execute(
        "INSERT INTO sessions (id, org_id, key_id, assistant_id, squad_id, user_id, agent_type, name, phone_number_id, "
        "customer_number, status, expiration_seconds, created_at, updated_at, thread_id, variables, private, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            session.id,
            session.org_id,
            new.key_id,
            _or_none(session, "assistant_id"),
            _or_none(session, "squad_id"),
            _or_none(session, "user_id"),
            new.agent_type,
            _or_none(session, "name"),
            _or_none(session, "phone_number_id"),
            number,
            session.status,
            session.expiration_seconds,
            ms_of(session.created_at),
            ms_of(session.updated_at),
            session.id,
            orjson.dumps(new.variables),
            orjson.dumps(new.private) if new.private else None,
            body.SerializeToString(),
        ],
    )
    threads.append(connection, session.org_id, session.id, 0, session.messages)
    return outbox.announce(connection, "session.created", body, new.private)


def lock_session(connection: Connection, org_id: str, session_id: str) -> None:
    """Prevent other transactions from changing or deleting a session or its chats until this one ends."""
    connection.lock(f"session:{org_id}:{session_id}")


def _read(connection: Connection, org_id: str, session_id: str) -> StoredSession:
    row = connection.execute(
        f"SELECT {COLUMNS} FROM sessions WHERE org_id = ? AND id = ?", [org_id, session_id]
    ).fetchone()
    if row is None:
        raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    return from_row(row)


def _before(connection: Connection, scope: Scope, before: str) -> Place:
    condition, parameters = scope.where()
    row = connection.execute(
        f"SELECT created_at, id FROM sessions WHERE id = ? AND {condition}", [parse_id(before), *parameters]
    ).fetchone()
    if row is None:
        raise NotFound(
            "the chat named by `before` is not there; `createdAtLt` lists from a time on",
            reason="SESSION_NOT_FOUND",
        )
    return Place(*row)


def _place_of(connection: Connection, stored: StoredSession, message_id: str) -> int | None:
    return threads.place_of(connection, stored.session.org_id, stored.thread_id, threads.ALL, message_id)


def _update(
    connection: Connection,
    found: Session,
    now: int,
    change: Callable[[Session], None],
    messages: Sequence[Message] | None,
) -> str:
    lock_session(connection, found.org_id, found.id)
    stored = _read(connection, found.org_id, found.id)
    session = stored.session
    change(session)
    # New messages go to a new thread: the chats of this session keep their positions in the old one.
    thread_id = stored.thread_id if messages is None else new_id()
    connection.execute(
        "UPDATE sessions SET name = ?1, status = ?2, expiration_seconds = ?3, "
        "updated_at = CASE WHEN updated_at > ?4 THEN updated_at ELSE ?4 END, thread_id = ?5, body = ?6 "
        "WHERE org_id = ?7 AND id = ?8",
        [
            _or_none(session, "name"),
            session.status,
            session.expiration_seconds,
            now,
            thread_id,
            session.SerializeToString(),
            session.org_id,
            session.id,
        ],
    )
    if messages is not None:
        _rewrite_thread(connection, session, stored.thread_id, thread_id, messages)
    return session.id


def _remove(connection: Connection, session: Session, now: int, message_id: str) -> str:
    lock_session(connection, session.org_id, session.id)
    old, new = _touch(connection, session, now), new_id()
    messages_before = threads.read(connection, session.org_id, old)
    left = [message for message in messages_before if message.id != message_id]
    if len(left) == len(messages_before):
        raise NotFound("item not found", reason="ITEM_NOT_FOUND")
    connection.execute(
        "UPDATE sessions SET thread_id = ? WHERE org_id = ? AND id = ?", [new, session.org_id, session.id]
    )
    _rewrite_thread(connection, session, old, new, left)
    return session.id


def _append(
    connection: Connection, session: Session, now: int, messages: Sequence[Message], most_bytes: float
) -> str:
    thread_id = _touch(connection, session, now)
    present_bytes = threads.size(connection, session.org_id, thread_id)
    if present_bytes + threads.size_of(messages) > most_bytes:
        raise ConversationFull(present_bytes, most_bytes)
    threads.append(
        connection,
        session.org_id,
        thread_id,
        threads.next_seq(connection, session.org_id, thread_id).fetchone()[0],
        messages,
    )
    return session.id


def _touch(connection: Connection, session: Session, now: int) -> str:
    """Mark a session as changed now; return its thread, to which no other transaction can append until this
    one ends."""
    row = connection.execute(
        "UPDATE sessions SET updated_at = CASE WHEN updated_at > ?1 THEN updated_at ELSE ?1 END "
        "WHERE org_id = ?2 AND id = ?3 RETURNING thread_id",
        [now, session.org_id, session.id],
    ).fetchone()
    if row is None:
        raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    thread_id: str = row[0]
    return thread_id


def _rewrite_thread(
    connection: Connection, session: Session, old: str, new: str, messages: Sequence[Message]
) -> None:
    """Begin the new thread of a session with these messages, and release its old one with the answers that
    showed it."""
    _forget_answers(connection, session)
    threads.append(connection, session.org_id, new, 0, messages)
    threads.discard(connection, session.org_id, old)


def _forget_answers(connection: Connection, session: Session) -> None:
    """Delete the stored answers that show a session's messages; those of its chats show them as their
    context."""
    forget(connection, session.org_id, "session", session.id)
    for (chat_id,) in connection.execute(
        "SELECT id FROM chats WHERE org_id = ? AND session_id = ?", [session.org_id, session.id]
    ).fetchall():
        forget(connection, session.org_id, "chat", chat_id)


def _delete(connection: Connection, outbox: Outbox, session: Session, private: dict[str, Any] | None) -> None:
    org_id, own = session.org_id, [session.org_id, session.id]
    lock_session(connection, org_id, session.id)
    _delete_events(connection, session)  # before the row: a running exchange locks both in this order
    row = connection.execute(
        "DELETE FROM sessions WHERE org_id = ? AND id = ? RETURNING thread_id", own
    ).fetchone()
    if row is None:
        raise NotFound("session not found", reason="SESSION_NOT_FOUND")
    preserve_usage(connection, org_id, "session_id = ?", session.id)
    _delete_events(connection, session)  # of what has begun meanwhile; from here on nothing can
    gone = connection.execute(
        "DELETE FROM chats WHERE org_id = ? AND session_id = ? RETURNING id, thread_id", own
    ).fetchall()
    forget(connection, org_id, "session", session.id)
    for chat_id, _ in gone:
        forget(connection, org_id, "chat", chat_id)
    for thread_id in sorted({row[0], *(thread_id for _, thread_id in gone)}):
        threads.discard(connection, org_id, thread_id)
    outbox.forget(connection, org_id, [chat_id for chat_id, _ in gone])
    alone = Session()
    alone.CopyFrom(session)
    del alone.messages[:]
    outbox.announce(connection, "session.deleted", alone, private)


def _delete_events(connection: Connection, session: Session) -> None:
    for chat_id in chat_events.running_in(connection, session.org_id, session.id):
        chat_events.delete(connection, session.org_id, chat_id)


def _or_none(session: Session, field: str) -> str | None:
    return getattr(session, field) if session.HasField(field) else None
