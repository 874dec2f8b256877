"""Orgs and their keys. Keys are stored as HMAC-SHA-256 digests, so that a reader of the file learns none of
them."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import hmac
import secrets
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from server.content.sealing import Sealer
from server.core.clock import Clock
from server.core.errors import NotFound
from server.core.ids import new_id
from server.storage.database import Connection, Database
from server.storage.peers import Peers
from server.storage.scope import Scope

_PREFIXES = {"api": "api_", "secret": "sk_live_", "publishable": "pk_live_"}
KINDS = tuple(_PREFIXES)
REVOKED = "keys"
"""The word to other servers that a key was revoked."""
_REMEMBERED_SECONDS = 0.9
_MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller: an org, through one of its keys."""

    org_id: str
    key_id: str
    kind: str
    org_name: str = ""
    """For those who read logs; empty where no key was shown."""

    @property
    def is_publishable(self) -> bool:
        """Whether the key is publishable."""
        return self.kind == "publishable"

    @property
    def scope(self) -> Scope:
        """The chats and sessions that this caller may see."""
        return Scope(self.org_id, self.key_id if self.is_publishable else None)


class _Found(NamedTuple):
    """The caller of a key that is not revoked, with its expiry."""

    caller: Caller
    expires_at: int | None


class NewKey(NamedTuple):
    """A key that was just created: the only time that its text exists here."""

    id: str
    org_id: str
    kind: str
    key: str


class Keys:
    """The orgs and their keys. Caches callers: a revoked key stops working everywhere as soon as `peers` have
    notified one another, after one second at most."""

    def __init__(self, database: Database, secret: bytes, clock: Clock, peers: Peers) -> None:
        self._database = database
        self._secret = secret
        self.sealer = Sealer(secret)
        """Seals what callers keep for the org of their key."""
        self._clock = clock
        self._peers = peers
        self._known: dict[bytes, tuple[_Found, float]] = {}
        """The owners of keys already seen, and until when each entry is valid."""
        self._revoked: asyncio.Event | None = None
        self._listening = ExitStack()
        # The same few keys are used again and again, and OpenSSL takes at least 30 µs to set up an HMAC.
        self._digest = lru_cache(maxsize=4096)(self._computed_digest)

    def knows(self, key: str) -> bool:
        """Return whether `key` was valid before, so that a flood of invalid keys does not lead to its
        refusal."""
        return self._digest(key) in self._known

    async def caller(self, key: str) -> Caller | None:
        """Return the caller with `key`; None when it is unknown, revoked or expired."""
        found = await self._remembered(self._digest(key))
        if found is None or (found.expires_at is not None and found.expires_at <= self._clock()):
            return None
        return found.caller

    async def _remembered(self, digest: bytes) -> _Found | None:
        self._forget_if_revoked()
        found, until = self._known.get(digest, (None, 0.0))
        now = time.monotonic()
        if found is None or now >= until:
            if found := await self._find(digest):
                self._known[digest] = found, now + _REMEMBERED_SECONDS
            else:
                self._known.pop(digest, None)
        return found

    async def _find(self, digest: bytes) -> _Found | None:
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT org_id, keys.id, kind, orgs.name, expires_at FROM keys JOIN orgs ON orgs.id = org_id "
                "WHERE digest = ? AND revoked_at IS NULL",
                [digest],
            ).fetchone()
        )
        return _Found(Caller(*row[:4]), row[4]) if row else None

    async def ended(self, key_ids: Collection[str]) -> set[str]:
        """Return those of the keys that are revoked or expired."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT id FROM keys WHERE id IN ({', '.join('?' * len(key_ids))}) AND revoked_at IS NULL "
                "AND (expires_at IS NULL OR expires_at > ?)",
                [*key_ids, self._clock()],
            ).fetchall()
        )
        return set(key_ids).difference(key_id for (key_id,) in rows)

    async def create(self, org_name: str, kind: str, expires_at: int | None = None) -> NewKey:
        """Create a key, and the org if it is new. The key expires at `expires_at` (milliseconds since the
        epoch)."""
        text = _PREFIXES[kind] + secrets.token_urlsafe(32)
        now = self._clock()

        def work(connection: Connection) -> NewKey:
            org_id = _org(connection, org_name, now)
            key_id = new_id()
            connection.execute(
                "INSERT INTO keys (id, org_id, kind, digest, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                [key_id, org_id, kind, self._digest(text), now, expires_at],
            )
            return NewKey(key_id, org_id, kind, text)

        return await self._database.write(work)

    async def list(self) -> list[dict[str, Any]]:
        """Return all keys with their orgs, oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT keys.id, orgs.name, org_id, kind, keys.created_at, revoked_at, expires_at "
                "FROM keys JOIN orgs ON orgs.id = org_id ORDER BY keys.created_at, keys.id"
            ).fetchall()
        )
        names = ("id", "orgName", "org", "kind", "createdAt", "revokedAt", "expiresAt")
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def revoke(self, key_id: str) -> None:
        """Revoke a key at once. Raises NotFound."""
        now = self._clock()

        def work(connection: Connection) -> None:
            changed = connection.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", [now, key_id]
            ).rowcount
            if not changed:
                raise NotFound(f"key {key_id} does not exist; `parley keys list` shows those that do")

        await self._database.write(work)
        self._known.clear()
        self._peers.notify(REVOKED)

    async def has_orgs(self) -> bool:
        """Return whether any org exists."""
        return await self._database.read(
            lambda connection: connection.execute("SELECT 1 FROM orgs LIMIT 1").fetchone() is not None
        )

    async def org_ids(self) -> builtins.list[str]:
        """Return the ids of all orgs."""
        return await self._database.read(
            lambda connection: [org_id for (org_id,) in connection.execute("SELECT id FROM orgs")]
        )

    async def org_id(self, name: str) -> str:
        """Return the id of an org. Raises NotFound."""
        row = await self._database.read(
            lambda connection: connection.execute("SELECT id FROM orgs WHERE name = ?", [name]).fetchone()
        )
        if row is None:
            raise NotFound(f"org {name} does not exist; `parley keys create --org {name}` makes it")
        org_id: str = row[0]
        return org_id

    async def org_of(self, name: str) -> str:
        """Return the id of an org, which is created if it is new."""
        now = self._clock()
        return await self._database.write(lambda connection: _org(connection, name, now))

    def _forget_if_revoked(self) -> None:
        if self._revoked is None:
            self._revoked = self._listening.enter_context(self._peers.listen(REVOKED))
        if self._revoked.is_set() or len(self._known) >= _MOST_KNOWN:
            self._revoked.clear()
            self._known.clear()

    def _computed_digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _org(connection: Connection, name: str, now: int) -> str:
    connection.execute(
        "INSERT INTO orgs (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [new_id(), name, now],
    )
    org_id: str = connection.execute("SELECT id FROM orgs WHERE name = ?", [name]).fetchone()[0]
    return org_id
