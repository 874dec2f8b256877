"""Orgs and their keys. Keys are kept as HMAC-SHA-256 digests: whoever reads the file learns none of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from server.clock import Clock
from server.errors import NotFound
from server.ids import new_id
from server.storage.database import Database
from server.storage.scope import Scope

_PREFIXES = {"api": "api_", "secret": "sk_live_", "publishable": "pk_live_"}
KINDS = tuple(_PREFIXES)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an org, through one of its keys."""

    org_id: str
    key_id: str
    kind: str

    @property
    def is_publishable(self) -> bool:
        return self.kind == "publishable"

    @property
    def scope(self) -> Scope:
        """The chats and sessions this caller may see."""
        return Scope(self.org_id, self.key_id if self.is_publishable else None)


class NewKey(NamedTuple):
    """A key just made: the only time its text exists here."""

    id: str
    org_id: str
    kind: str
    key: str


class Keys:
    def __init__(self, database: Database, secret: bytes, clock: Clock) -> None:
        self._database = database
        self._secret = secret
        self._clock = clock
        # Callers show the same few keys again and again, and OpenSSL takes 30 µs and more to set up an HMAC.
        self._digest = lru_cache(maxsize=4096)(self._computed_digest)

    def caller(self, key: str) -> Caller | None:
        """Who shows `key`; None when it is unknown or revoked."""
        row = self._database.read.execute(
            "SELECT org_id, id, kind FROM keys WHERE digest = ? AND revoked_at IS NULL", [self._digest(key)]).fetchone()
        return Caller(*row) if row else None

    async def create(self, org_name: str, kind: str) -> NewKey:
        """Make a key, and the org when it is new."""
        text = _PREFIXES[kind] + secrets.token_urlsafe(32)
        now = self._clock()

        def work(connection: sqlite3.Connection) -> NewKey:
            org_id = _org(connection, org_name, now)
            key_id = new_id()
            connection.execute(
                "INSERT INTO keys (id, org_id, kind, digest, created_at) VALUES (?, ?, ?, ?, ?)",
                [key_id, org_id, kind, self._digest(text), now])
            return NewKey(key_id, org_id, kind, text)

        return await self._database.write(work)

    async def list(self) -> list[dict[str, Any]]:
        rows = self._database.read.execute(
            "SELECT keys.id, orgs.name, org_id, kind, keys.created_at, revoked_at "
            "FROM keys JOIN orgs ON orgs.id = org_id ORDER BY keys.created_at, keys.id").fetchall()
        names = ("id", "orgName", "org", "kind", "createdAt", "revokedAt")
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def revoke(self, key_id: str) -> None:
        """Make a key useless at once. Raises NotFound."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> None:
            changed = connection.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", [now, key_id]).rowcount
            if not changed:
                raise NotFound(f"key {key_id} does not exist; `parley keys list` shows those that do")

        await self._database.write(work)

    def org_ids(self) -> list[str]:
        return [org_id for (org_id,) in self._database.read.execute("SELECT id FROM orgs")]

    async def org_id(self, name: str) -> str:
        """The id of an org. Raises NotFound."""
        row = self._database.read.execute("SELECT id FROM orgs WHERE name = ?", [name]).fetchone()
        if row is None:
            raise NotFound(f"org {name} does not exist; `parley keys create --org {name}` makes it")
        return row[0]

    async def org_of(self, name: str) -> str:
        """The id of an org, made when it is new."""
        now = self._clock()
        return await self._database.write(lambda connection: _org(connection, name, now))

    def _computed_digest(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _org(connection: sqlite3.Connection, name: str, now: int) -> str:
    connection.execute("INSERT OR IGNORE INTO orgs (id, name, created_at) VALUES (?, ?, ?)", [new_id(), name, now])
    return connection.execute("SELECT id FROM orgs WHERE name = ?", [name]).fetchone()[0]
