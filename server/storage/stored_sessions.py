"""Sessions as they are read: their rows, what they cost, and pages that fit into an answer. Writes
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import Cost
from generated.parley.v1.chat_record_pb2 import ConversationState
from generated.parley.v1.session_pb2 import Session
from server.content.budget import omit_in_list, whole
from server.core.clock import ms_of, timestamp
from server.storage.database import Connection, Cursor
from server.storage.listing import Listing, Place, last_of

COLUMNS = (
    "status, expiration_seconds, created_at, updated_at, name, thread_id, variables, private, state, body"
)
TO_JOIN = (
    "(SELECT version FROM assistants WHERE assistants.org_id = sessions.org_id "
    "AND assistants.id = sessions.assistant_id), "
    "(SELECT CASE WHEN chats.status = 'in_progress' THEN chats.id END FROM chats "
    "WHERE chats.org_id = sessions.org_id AND chats.session_id = sessions.id "
    "ORDER BY chats.created_at DESC, chats.id DESC LIMIT 1)"
)
"""`assistant_version` and `in_progress`."""
_SHORT = (
    "created_at, updated_at, id, org_id, name, status, expiration_seconds, assistant_id, squad_id, phone_number_id, "
    "user_id"
)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session without its messages and costs, and the variables that filled its templates."""

    session: Session
    thread_id: str
    variables: dict[str, Any]
    private: dict[str, Any] | None
    state: ConversationState | None
    """The active member of a squad, and the variables that tools extracted."""
    assistant_version: int | None = None
    """The version of its assistant when the session was read, where that was asked for."""
    in_progress: str | None = None
    """The id of its last chat, if that was in progress, where that was asked for."""

    @property
    def is_open(self) -> bool:
        """Whether the session is active."""
        return self.session.status == "active"

    def has_expired(self, now: int) -> bool:
        """Return whether the session has expired at `now` (milliseconds since the epoch)."""
        return now > ms_of(self.session.updated_at) + self.session.expiration_seconds * 1000


def listed(connection: Connection, listing: Listing) -> tuple[list[Session], Place | None]:
    """Return a page of sessions without their messages, and the position of the last one when another page
    follows.

    Sessions are shortened when all of them would be too large for one answer.
    """
    found = connection.execute(*listing.select(f"{_SHORT}, length(body)", "sessions")).fetchall()
    rows = found[: listing.limit]
    fitting = [row[2] for row, fits in zip(rows, whole([size for *_, size in rows]), strict=True) if fits]
    if not rows:
        return [], None
    costs = _costs_of(connection, rows[0][3], [row[2] for row in rows])
    shown = _of_ids(connection, rows[0][3], fitting)
    sessions = [shown.get(row[2]) or _short(row) for row in rows]
    _add_costs(sessions, costs)
    return sessions, last_of(sessions) if len(found) > len(rows) else None


def _of_ids(connection: Connection, org_id: str, ids: Sequence[str]) -> dict[str, Session]:
    if not ids:
        return {}
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM sessions WHERE org_id = ? AND id IN ({', '.join('?' * len(ids))})",
        [org_id, *ids],
    ).fetchall()
    return {stored.session.id: stored.session for stored in map(from_row, rows)}


def _short(row: tuple[Any, ...]) -> Session:
    """Return a session without the members that callers set, for a page that has no room for them."""
    names = (
        "id",
        "org_id",
        "name",
        "status",
        "expiration_seconds",
        "assistant_id",
        "squad_id",
        "phone_number_id",
        "user_id",
    )
    session = Session(
        **dict(zip(names, row[2:], strict=False)), created_at=timestamp(row[0]), updated_at=timestamp(row[1])
    )
    omit_in_list(
        session,
        "/session/{id}",
        "assistant",
        "assistantOverrides",
        "squad",
        "customer",
        "metadata",
        "customerId",
        "warnings",
    )
    return session


def from_row(row: tuple[Any, ...]) -> StoredSession:
    """Return the session in a row of the table."""
    status, expiration_seconds, created_at, updated_at, name, thread_id, variables, private, state, body = row
    session = Session.FromString(body)
    session.status = status
    session.expiration_seconds = expiration_seconds
    session.created_at.CopyFrom(timestamp(created_at))
    session.updated_at.CopyFrom(timestamp(updated_at))
    if name is None:
        session.ClearField("name")
    else:
        session.name = name
    return StoredSession(
        session,
        thread_id,
        orjson.loads(variables),
        orjson.loads(private) if private else None,
        ConversationState.FromString(state) if state else None,
    )


def with_costs(connection: Connection, session: Session) -> Session:
    """Return the session with its costs."""
    _add_costs([session], _costs_of(connection, session.org_id, [session.id]))
    return session


def _costs_of(connection: Connection, org_id: str, ids: Sequence[str]) -> Cursor:
    """Select the costs of sessions of one org, in one statement."""
    return connection.execute(
        "SELECT session_id, provider, model, sum(prompt_tokens), sum(completion_tokens), sum(cost), max(estimated) "
        f"FROM chats WHERE org_id = ? AND session_id IN ({', '.join('?' * len(ids))}) "
        "GROUP BY session_id, provider, model ORDER BY session_id, provider, model",
        [org_id, *ids],
    )


def _add_costs(sessions: Sequence[Session], rows: Cursor) -> None:
    by_id = {session.id: session for session in sessions}
    for session_id, provider, model, prompt_tokens, completion_tokens, cost, estimated in rows.fetchall():
        part = Cost(
            type="model",
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=cost,
            estimated=bool(estimated) or None,
        )
        part.model.update({"provider": provider, "model": model})
        by_id[session_id].costs.append(part)
    for session in sessions:
        session.cost = sum(part.cost for part in session.costs)
