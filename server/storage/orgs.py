"""Orgs: the tenants, and how much each has stored. Their keys are in `keys.py`."""

from __future__ import annotations

import builtins
from typing import Any, NamedTuple

from server.core.clock import Clock
from server.core.errors import FailedPrecondition, NotFound
from server.core.ids import new_id, parse_id
from server.storage.database import Connection, Database

_STORED = ("assistants", "squads", "tools")
_COUNTS = (
    "(SELECT count(*) FROM keys WHERE org_id = orgs.id AND revoked_at IS NULL "
    "AND (expires_at IS NULL OR expires_at > ?1))",
    *(f"(SELECT count(*) FROM {table} WHERE org_id = orgs.id)" for table in _STORED),
    *(
        f"(SELECT coalesce(sum(total), 0) FROM totals WHERE org_id = orgs.id AND noun = '{noun}')"
        for noun in ("sessions", "chats")
    ),
    "(SELECT max(created_at) FROM chats WHERE org_id = orgs.id)",
)


class Org(NamedTuple):
    """An org with the numbers of its records."""

    id: str
    name: str
    created_at: int
    keys: int
    """Those that are neither revoked nor expired."""
    assistants: int
    squads: int
    tools: int
    sessions: int
    chats: int
    last_chat_at: int | None


class Orgs:
    """The orgs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, name: str) -> Org:
        """Create an org without keys. Raises FailedPrecondition when one has this name."""
        made = Org(new_id(), name, self._clock(), 0, 0, 0, 0, 0, 0, None)

        def work(connection: Connection) -> None:
            done = connection.execute(
                "INSERT INTO orgs (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", made[:3]
            ).rowcount
            if not done:
                raise FailedPrecondition(f"org {name} exists already; `parley orgs show {name}` shows it")

        await self._database.write(work)
        return made

    async def list(self) -> builtins.list[Org]:
        """Return all orgs, oldest first."""
        return await self._read("TRUE", [])

    async def get(self, name_or_id: str) -> Org:
        """Return the org of a name, or else of an id. Raises NotFound."""
        found = await self._read("name = ?2", [name_or_id])
        if not found and (org_id := parse_id(name_or_id)):
            found = await self._read("id = ?2", [org_id])
        if not found:
            raise NotFound(f"org {name_or_id} does not exist; `parley orgs list` shows those that do")
        return found[0]

    async def _read(self, condition: str, parameters: builtins.list[Any]) -> builtins.list[Org]:
        async with self._database.snapshot() as snapshot:
            rows = await snapshot.run(
                lambda connection: connection.execute(
                    f"SELECT id, name, created_at, {', '.join(_COUNTS)} FROM orgs WHERE {condition} "
                    "ORDER BY created_at, id",
                    [self._clock(), *parameters],
                ).fetchall()
            )
        return [Org._make((*row[:7], int(row[7]), int(row[8]), row[9])) for row in rows]
