"""The outbox: deliveries, written in the same transaction as the change that they are about.

A lane of an org is delivered in order, one row at a time: of its waiting rows, only the first is due. A
delivered row is deleted; one that cannot be delivered is dead, and is stored with its last reason: as long as
its chat, or for a week and without its content. Sends nothing (`delivery/loop.py` does), and no caller can
read it: rows contain messages and recipients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.session_pb2 import Session
from server.core.clock import Clock, steady
from server.core.errors import Aborted
from server.core.ids import new_id
from server.storage.database import Connection, Database

_COLUMNS = "seq, id, org_id, kind, lane, chat_id, attempts, body, target"
_REMEMBERED_MS = 7 * 86_400_000
_NO_TARGET = b"{}"
_NO_BODY = b""
_SWEPT_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that must be delivered."""

    org_id: str
    kind: str
    """Determines the sink."""
    lane: str
    body: bytes
    target: dict[str, Any] = field(default_factory=dict, repr=False)
    """The destination, with any secrets that it needs; deleted after the last attempt."""
    chat_id: str | None = None
    """The chat that says how its delivery stands, and whose deletion ends it."""
    recorded: bool = False
    """Stored, and never sent: it has no receiver."""
    id: str = field(default_factory=new_id)
    """The id by which the receiver recognises a repetition."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due."""

    seq: int
    id: str
    org_id: str
    kind: str
    lane: str
    chat_id: str | None
    attempts: int
    """The number of attempts begun before."""
    body: bytes = field(repr=False)
    target: dict[str, Any] = field(repr=False)


Record = Chat | Session
Composed = Callable[[], Iterable[Delivery]]
"""Returns the deliveries about a change. Called once, after the change's own statements are under way."""
Compose = Callable[[Connection, str, Record, dict[str, Any] | None, Callable[[], Record]], Composed]
"""Looks for the receivers of a change, and returns what makes its deliveries. Arguments: connection, kind, the
Chat or Session, the data that its `body` masks, and a function for the delivered message, called only if there
is a receiver."""


def _nothing(*_: object) -> Composed:
    return tuple


class Outbox:
    """The outbox of a store."""

    def __init__(self, database: Database, clock: Clock, compose: Compose = _nothing) -> None:
        """Without `compose` no changes are announced."""
        self._database = database
        self._clock = clock
        self._due_clock = steady(clock)
        self._compose = compose
        self.news = asyncio.Event()
        """Set when something may be due."""

    def announce(
        self,
        connection: Connection,
        kind: str,
        record: Record,
        private: dict[str, Any] | None,
        body_of: Callable[[], Record] | None = None,
    ) -> bool:
        """Write the deliveries about a change, as `put` does; `body_of` makes their content besides the
        record."""
        return self.announcement(connection, kind, record, private, body_of)()

    def announcement(
        self,
        connection: Connection,
        kind: str,
        record: Record,
        private: dict[str, Any] | None,
        body_of: Callable[[], Record] | None = None,
    ) -> Callable[[], bool]:
        """Begin to announce a change, and return what does the rest of it: the receivers are looked for in the
        same round trip as what the caller reads in between."""
        composed = self._compose(connection, kind, record, private, body_of or (lambda: record))
        return lambda: self.put(connection, composed())

    def put(self, connection: Connection, deliveries: Iterable[Delivery]) -> bool:
        """Write deliveries, inside the caller's transaction; return whether there were any. Then `wake` must
        follow the commit."""
        put = False
        for one in deliveries:
            put = True
            # otherwise a later row could be seen, and be due, before this one
            _lock(connection, one.org_id, one.lane)
            connection.execute(
                "INSERT INTO outbox (id, org_id, kind, lane, chat_id, state, attempts, due_at, created_at, body, target) "
                "VALUES (?, ?, ?, ?, ?, ?, 0, NULL, ?, ?, ?)",
                [
                    one.id,
                    one.org_id,
                    one.kind,
                    one.lane,
                    one.chat_id,
                    "recorded" if one.recorded else "waiting",
                    self._clock(),
                    one.body,
                    orjson.dumps(one.target),
                ],
            )
            self._advance(connection, one.org_id, one.lane)
        return put

    def wake(self) -> None:
        """Report that deliveries were written. Without this they are found within one second."""
        self.news.set()

    async def receive(self, delivery: Delivery, receipt: str) -> bool:
        """Write a delivery, unless its org had one with the same receipt within a week; return whether it was
        written."""
        now = self._clock()

        def work(connection: Connection) -> bool:
            connection.execute(
                "DELETE FROM receipts WHERE org_id = ? AND receipt = ? AND received_at < ?",
                [delivery.org_id, receipt, now - _REMEMBERED_MS],
            )
            fresh = (
                connection.execute(
                    "INSERT INTO receipts (org_id, receipt, received_at) VALUES (?, ?, ?) "
                    "ON CONFLICT DO NOTHING",
                    [delivery.org_id, receipt, now],
                ).rowcount
                == 1
            )
            if fresh:
                self.put(connection, [delivery])
            return fresh

        fresh = await self._database.write(work)
        self.wake()
        return fresh

    async def due(self, limit: int, busy: Collection[int], full: Collection[str]) -> list[Waiting]:
        """Return the due deliveries, longest due first, without busy rows and orgs at their limit."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM outbox WHERE due_at <= ?{_but('seq', busy)}{_but('org_id', full)} "
                "ORDER BY due_at, seq LIMIT ?",
                [self._due_clock(), *busy, *full, limit],
            ).fetchall()
        )
        return [Waiting(*(*row[:-1], orjson.loads(row[-1]))) for row in rows]

    async def waiting(self) -> int:
        """Return how many deliveries wait, due or not."""
        return await self._database.read(
            lambda connection: int(
                connection.execute("SELECT count(*) FROM outbox WHERE due_at IS NOT NULL").fetchone()[0]
            ),
            long=True,
        )

    async def until_due(self) -> float | None:
        """Return the seconds until the next row is due."""
        now = self._due_clock()
        due_at = await self._database.read(
            lambda connection: connection.execute(
                "SELECT min(due_at) FROM outbox WHERE due_at > ?", [now]
            ).fetchone()[0]
        )
        return None if due_at is None else (due_at - now) / 1000

    async def hasten(self, most_seconds: float) -> None:
        """Reduce longer waits to `most_seconds`: the clock of an earlier server may have been ahead."""
        now = self._due_clock()
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE outbox SET due_at = ? WHERE due_at > ?", [now, now + round(most_seconds * 1000)]
                )
                and None
            )
        )

    async def begin(self, waiting: Waiting) -> bool:
        """Count an attempt before it is made; False when the row is gone."""
        return await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE outbox SET attempts = attempts + 1 WHERE org_id = ? AND seq = ?",
                    [waiting.org_id, waiting.seq],
                ).rowcount
                == 1
            )
        )

    async def delivered(self, waiting: Waiting) -> None:
        """Delete a delivered row, and update its chat when it was the last of it."""
        await self._database.write(lambda connection: self._delivered(connection, waiting))

    async def again(self, waiting: Waiting, pause_seconds: float, reason: str) -> None:
        """Let a row wait for `pause_seconds`; its lane waits with it."""
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE outbox SET due_at = ?, reason = ? WHERE org_id = ? AND seq = ?",
                    [self._due_clock() + round(pause_seconds * 1000), reason, waiting.org_id, waiting.seq],
                )
                and None
            )
        )

    async def bury(self, waiting: Waiting, reason: str) -> None:
        """Give up a row and the other rows of its chat; the lane continues."""
        await self._database.write(lambda connection: self._bury(connection, waiting, reason))

    async def sweep(self) -> int:
        """Delete some expired rows; return their number."""
        until = self._clock() - _REMEMBERED_MS

        def work(connection: Connection) -> int:
            dead = connection.execute(
                "DELETE FROM outbox WHERE (org_id, seq) IN (SELECT org_id, seq FROM outbox WHERE state = 'dead' "
                "AND chat_id IS NULL AND created_at < ? LIMIT ?)",
                [until, _SWEPT_AT_ONCE],
            ).rowcount
            return (
                dead
                + connection.execute(
                    "DELETE FROM receipts WHERE (org_id, receipt) IN (SELECT org_id, receipt FROM receipts "
                    "WHERE received_at < ? ORDER BY received_at LIMIT ?)",
                    [until, _SWEPT_AT_ONCE],
                ).rowcount
            )

        return await self._database.write(work)

    def settle(self, connection: Connection, org_id: str, row_id: str) -> None:
        """Delete a row, inside the transaction of its result. Raises Aborted when it already had a result."""
        row = connection.execute(
            "DELETE FROM outbox WHERE org_id = ? AND id = ? RETURNING lane", [org_id, row_id]
        ).fetchone()
        if row is None:
            raise Aborted("this was answered before")
        self._advance(connection, org_id, row[0])

    def forget(self, connection: Connection, org_id: str, chat_ids: Collection[str]) -> None:
        """Delete the rows of deleted chats, sent or not."""
        for chat_id in chat_ids:
            lanes = connection.execute(
                "DELETE FROM outbox WHERE org_id = ? AND chat_id = ? RETURNING lane", [org_id, chat_id]
            ).fetchall()
            for lane in {lane for (lane,) in lanes}:
                self._advance(connection, org_id, lane)

    def _delivered(self, connection: Connection, waiting: Waiting) -> None:
        _lock(connection, waiting.org_id, waiting.lane)
        gone = connection.execute(
            "DELETE FROM outbox WHERE org_id = ? AND seq = ?", [waiting.org_id, waiting.seq]
        ).rowcount
        self._advance(connection, waiting.org_id, waiting.lane)
        left = (
            waiting.chat_id
            and connection.execute(
                "SELECT 1 FROM outbox WHERE org_id = ? AND chat_id = ? AND state = 'waiting'",
                [waiting.org_id, waiting.chat_id],
            ).fetchone()
        )
        if gone and waiting.chat_id and not left:
            _add_status(connection, waiting, "sent", "The message was handed to the carrier.")

    def _bury(self, connection: Connection, waiting: Waiting, reason: str) -> None:
        bury = "UPDATE outbox SET state = 'dead', due_at = NULL, target = ?, reason = ? WHERE org_id = ? AND"
        _lock(connection, waiting.org_id, waiting.lane)
        gone = connection.execute(
            f"{bury} seq = ?", [_NO_TARGET, reason, waiting.org_id, waiting.seq]
        ).rowcount
        # the subject of the row may be deleted, and that would not delete the row
        if gone and waiting.chat_id is None:
            connection.execute(
                "UPDATE outbox SET body = ? WHERE org_id = ? AND seq = ?",
                [_NO_BODY, waiting.org_id, waiting.seq],
            )
        if gone and waiting.chat_id:
            connection.execute(
                f"{bury} chat_id = ? AND state = 'waiting'",
                [_NO_TARGET, "an earlier part of the message was not sent", waiting.org_id, waiting.chat_id],
            )
            _add_status(connection, waiting, "failed", f"The message was not sent: {reason}.")
        connection.execute(
            "DELETE FROM outbox WHERE org_id = ? AND state = 'dead' AND chat_id IS NULL AND created_at < ?",
            [waiting.org_id, self._clock() - _REMEMBERED_MS],
        )
        self._advance(connection, waiting.org_id, waiting.lane)

    def _advance(self, connection: Connection, org_id: str, lane: str) -> None:
        """Make the first row of a lane due, if it is not."""
        _lock(connection, org_id, lane)
        connection.execute(
            "UPDATE outbox SET due_at = ?3 WHERE org_id = ?1 AND due_at IS NULL "
            "AND seq = (SELECT min(seq) FROM outbox WHERE org_id = ?1 AND lane = ?2 AND state = 'waiting')",
            [org_id, lane, self._due_clock()],
        )


def _lock(connection: Connection, org_id: str, lane: str) -> None:
    connection.lock(f"lane:{org_id}:{lane}")


def _add_status(connection: Connection, waiting: Waiting, status: str, message: str) -> None:
    """Record the state of a delivery on its chat."""
    own = [waiting.org_id, waiting.chat_id]
    row = connection.execute("SELECT body FROM chats WHERE org_id = ? AND id = ?", own).fetchone()
    if row is None:
        return
    chat = Chat.FromString(row[0])
    chat.transport.status, chat.transport.message = status, message
    connection.execute(
        "UPDATE chats SET body = ? WHERE org_id = ? AND id = ?", [chat.SerializeToString(), *own]
    )


def _but(column: str, values: Collection[Any]) -> str:
    """Return the condition that a column has none of these values."""
    return f" AND {column} NOT IN ({', '.join('?' * len(values))})" if values else ""
