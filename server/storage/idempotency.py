"""Idempotency keys: the call that each was used for, what that call recorded, and its answer.

A call under a key holds a claim. Each of its writes marks the claim in the same transaction, so that after a
crash it is known whether the work was done. Stores answers as bytes; does not run, render or compare
anything.

Deleting a record deletes the answers that show it: `forget` leaves an empty answer in their place, which no
later answer of a running call can replace.

A claim is alive while the call that holds it runs: in this process, which knows that, or in another one on
the same database, which then holds the claim's lock.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from server.core.clock import Clock
from server.core.errors import AnswerLost, IdempotencyKeyInUse, IdempotencyKeyReused
from server.core.ids import new_id
from server.storage.database import Connection, Database, also
from server.storage.peers import Peers
from server.storage.scope import Scope

RETENTION_MS = 24 * 60 * 60 * 1000
NOT_STORED = "nothing"
"""The record of a call that was asked to store nothing."""
_MOST_SWEPT = 20  # an answer can have megabytes
_FORGOTTEN = b""


@dataclass(slots=True)
class Claim:
    """One call under a key."""

    id: str
    org_id: str
    record: str | None = None
    """The record of an earlier call under this key: `chat <id>`, NOT_STORED, or empty for a record without
    id; None when it recorded nothing."""
    answer: bytes | None = None
    """The answer of that call."""
    making: str = ""
    """The record that this call is making."""
    persists: bool = True
    """Whether its answer may be stored."""

    def mark(self, connection: Connection) -> None:
        """Mark that this call has recorded something, in the transaction that does so.

        Raises AnswerLost when an earlier call did: nothing is done twice.
        """
        if self.record is not None:
            raise lost(self.record)
        connection.execute(
            "UPDATE idempotency_keys SET record = ? WHERE org_id = ? AND claim_id = ? "
            "AND coalesce(record, '') = ''",
            [self.making, self.org_id, self.id],
        )


# A context variable instead of an argument: any call can have a key, and engine, services and stores would
# all have to pass it on.
_current_claim: ContextVar[Claim | None] = ContextVar("claim", default=None)


def enter_claim(claim: Claim) -> None:
    """Let this task, and the tasks that it starts, work under `claim`."""
    _current_claim.set(claim)
    also.set(claim.mark)


def current_claim() -> Claim | None:
    """Return the claim under which this task works."""
    return _current_claim.get()


def making(noun: str, record_id: str) -> None:
    """Name the record that this task's next write creates."""
    claim = _current_claim.get()
    if claim is not None and not claim.making:
        claim.making = f"{noun} {record_id}"


def lost(record: str) -> AnswerLost:
    """Return the error for a call whose work an earlier call did, which created this record."""
    return AnswerLost("", is_stored=False) if record == NOT_STORED else AnswerLost(record)


def persist_nothing() -> None:
    """Declare that this task's call stores nothing: its key is used, and its answer is not stored."""
    claim = _current_claim.get()
    if claim is not None:
        claim.making, claim.persists = NOT_STORED, False


def forget(connection: Connection, org_id: str, noun: str, record_id: str) -> None:
    """Delete the answers that show a record which is being deleted, permanently. Their keys stay used."""
    connection.execute(
        "UPDATE idempotency_keys SET answer = ? WHERE org_id = ? AND record = ?",
        [_FORGOTTEN, org_id, f"{noun} {record_id}"],
    )


class IdempotencyKeys:
    """The stored idempotency keys."""

    def __init__(self, database: Database, clock: Clock, peers: Peers) -> None:
        self._database = database
        self._clock = clock
        self._peers = peers
        self._boot_id = new_id()
        self._alive: set[str] = set()
        """Entered before the row is written, and read by the writer's thread."""

    async def claim(self, scope: Scope, key: str, fingerprint: bytes) -> Claim:
        """Return a claim on `key`, on disk, for a call with this fingerprint. It must be released when the
        call is over.

        Raises IdempotencyKeyReused when the key belongs to a call with another fingerprint,
        IdempotencyKeyInUse when its call is running.
        """
        claim = Claim(new_id(), scope.org_id)
        owner = scope.org_id, scope.key_id or "", key
        now, dead = self._clock(), await self._dead_elsewhere(owner)
        await self._peers.try_lock(_lock_of(claim.id))
        self._alive.add(claim.id)
        try:
            await self._database.write(
                lambda connection: self._claim(connection, claim, owner, fingerprint, now, dead), brief=True
            )
        except BaseException:
            await self.release(claim)
            raise
        return claim

    async def persist(self, claim: Claim, answer: bytes | None) -> None:
        """Store the answer of a call; None when it cannot be stored, in which case the key still counts as
        used.

        An answer that shows a record deleted meanwhile is not stored either.
        """
        also.set(None)  # the call's own writes are over
        record = "" if claim.persists else NOT_STORED
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE idempotency_keys SET answer = coalesce(answer, ?), record = coalesce(record, ?) "
                    "WHERE org_id = ? AND claim_id = ?",
                    [answer if claim.persists else None, record, claim.org_id, claim.id],
                )
                and None
            ),
            brief=True,
        )

    async def free(self, claim: Claim) -> None:
        """Free the key for any other call."""
        also.set(None)
        await self._database.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM idempotency_keys WHERE org_id = ? AND claim_id = ?", [claim.org_id, claim.id]
                )
                and None
            ),
            brief=True,
        )

    async def sweep(self) -> int:
        """Delete some expired keys; return their number."""
        until = self._clock() - RETENTION_MS
        return await self._database.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM idempotency_keys WHERE (org_id, claim_id) IN (SELECT org_id, claim_id FROM "
                    "idempotency_keys "
                    "WHERE created_at <= ? ORDER BY created_at LIMIT ?)",
                    [until, _MOST_SWEPT],
                ).rowcount
            )
        )

    async def release(self, claim: Claim) -> None:
        """End the claim of a call that is over. From now on only what it recorded counts."""
        if claim.id in self._alive:
            self._alive.remove(claim.id)
            await self._peers.unlock(_lock_of(claim.id))

    async def _dead_elsewhere(self, owner: tuple[str, str, str]) -> str | None:
        """Return the claim on a key that another process made and no longer holds."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT claim_id, boot_id FROM idempotency_keys WHERE org_id = ? AND key_id = ? AND key = ?",
                owner,
            ).fetchone()
        )
        if row is None or row[1] == self._boot_id or not await self._peers.try_lock(_lock_of(row[0])):
            return None
        claim_id: str = row[0]
        await self._peers.unlock(_lock_of(claim_id))
        return claim_id

    def _claim(
        self,
        connection: Connection,
        claim: Claim,
        owner: tuple[str, str, str],
        fingerprint: bytes,
        now: int,
        dead: str | None,
    ) -> None:
        connection.lock(f"idempotency:{' '.join(owner)}")  # or two calls might both find the key unused
        claim.record = claim.answer = None
        connection.execute(
            "DELETE FROM idempotency_keys WHERE org_id = ? AND key_id = ? AND key = ? AND created_at <= ?",
            [*owner, now - RETENTION_MS],
        )
        row = connection.execute(
            "SELECT claim_id, boot_id, fingerprint, record, answer FROM idempotency_keys "
            "WHERE org_id = ? AND key_id = ? AND key = ?",
            owner,
        ).fetchone()
        if row is not None:
            claim_id, boot_id, known, claim.record, answer = row
            claim.answer = answer or None
            alive = claim_id in self._alive if boot_id == self._boot_id else claim_id != dead
            if known != fingerprint and (alive or claim.record is not None):
                raise IdempotencyKeyReused
            if alive and claim.answer is None:
                raise IdempotencyKeyInUse
            if claim.answer is not None:
                return
        # No claim, or one whose call ended without an answer: this call continues from what that call
        # recorded.
        connection.execute(
            "INSERT INTO idempotency_keys "
            "(org_id, key_id, key, claim_id, boot_id, fingerprint, record, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (org_id, key_id, key) DO UPDATE SET claim_id = excluded.claim_id, boot_id = excluded.boot_id, "
            "fingerprint = excluded.fingerprint, record = excluded.record, created_at = excluded.created_at",
            [*owner, claim.id, self._boot_id, fingerprint, claim.record, now],
        )


def _lock_of(claim_id: str) -> str:
    return f"claim:{claim_id}"
