"""Records that are lossless JSON documents: assistants, squads, tools. Reads nothing of their content except
the name."""

from __future__ import annotations

import asyncio
import builtins
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import Message as AnyMessage

from server.content.budget import fitting
from server.core.clock import Clock
from server.core.errors import ChangedMeanwhile, NotFound
from server.core.ids import new_id
from server.storage.database import Connection, Cursor, Database
from server.storage.idempotency import forget, making
from server.storage.listing import listing_of
from server.storage.scope import Scope

_CACHED = 1024
_SHOWN_TIMES = 2
"""gRPC callers are shown a document whole and typed."""
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document. `content` is shared between callers: copy before changing it."""

    id: str
    org_id: str
    created_at: int
    updated_at: int
    version: int
    content: dict[str, Any]
    size: int
    """Bytes of JSON."""


class Named(NamedTuple):
    """The id and the name of a document."""

    id: str
    org_id: str
    name: str | None
    created_at: int


class Listed(NamedTuple):
    """One page of documents."""

    documents: list[Document]
    has_more: bool


class Documents:
    """One table of documents."""

    def __init__(self, database: Database, clock: Clock, table: str, noun: str) -> None:
        self._database = database
        self._clock = clock
        self._table = table
        self._noun = noun
        self._parsed: OrderedDict[tuple[str, str | None, int], Document] = OrderedDict()
        """By org, id and version."""

    async def create(self, org_id: str, content: dict[str, Any], document_id: str | None = None) -> Document:
        """Store a new document and return it."""
        now = self._clock()
        body = orjson.dumps(content)
        made = Document(document_id or new_id(), org_id, now, now, 1, content, len(body))
        making(self._noun, made.id)
        await self._database.write(
            lambda connection: (
                connection.execute(
                    f"INSERT INTO {self._table} (id, org_id, name, created_at, updated_at, version, document) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [made.id, org_id, _name(content), now, now, 1, body],
                )
                and None
            )
        )
        return made

    async def get(self, org_id: str, document_id: str | None, version: int | None = None) -> Document:
        """Return a document. Raises NotFound for an absent document, another org's, or None (an invalid id).

        `version` is the one that the caller has just read: nothing is read when it is known here.
        """
        if version is not None and (known := self._parsed.get((org_id, document_id, version))):
            return known
        found = await self._database.read(lambda connection: self._read(connection, org_id, document_id))
        if found is None:
            raise self._not_found()
        return found

    async def ids_of(self, org_id: str, name: str, most: int) -> list[str]:
        """Return the ids of the oldest documents with this name; names are not unique."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT id FROM {self._table} WHERE org_id = ? AND name = ? ORDER BY created_at, id LIMIT ?",
                [org_id, name, most],
            ).fetchall()
        )
        return [row[0] for row in rows]

    async def names_of(self, org_id: str, ids: Iterable[str]) -> dict[str, str | None]:
        """Return the names of those documents that exist, by id; read in batches, so that other work can run
        in between."""
        found: dict[str, str | None] = {}
        ordered = sorted(ids)
        for start in range(0, len(ordered), _AT_ONCE):
            rows = await self._database.read(
                partial(self._names_of, org_id, ordered[start : start + _AT_ONCE])
            )
            found.update((row[0], row[1]) for row in rows)
            await asyncio.sleep(0)
        return found

    def _names_of(self, org_id: str, ids: Sequence[str], connection: Connection) -> Sequence[Any]:
        return connection.execute(
            f"SELECT id, name FROM {self._table} WHERE org_id = ? AND id IN ({', '.join('?' * len(ids))})",
            [org_id, *ids],
        ).fetchall()

    async def list(self, org_id: str, request: AnyMessage) -> Listed:
        """Return one page of documents, as many as fit into an answer."""
        listing = listing_of(request, Scope(org_id), {"id": "id"})

        def work(connection: Connection) -> Listed:
            rows = connection.execute(
                *listing.select("id, version, created_at, length(document)", self._table)
            ).fetchall()
            wanted = len(rows[: listing.limit])
            count = fitting([_SHOWN_TIMES * size for *_, size in rows[:wanted]])
            if count < wanted:
                count = _ending_between_times([created_at for _, _, created_at, _ in rows], count)
            shown = [(document_id, version) for document_id, version, *_ in rows[:count]]
            return Listed(self._all(connection, org_id, shown), len(rows) > count)

        return await self._database.read(work)

    async def names(self, org_id: str, most: int) -> tuple[builtins.list[Named], bool]:
        """Return the newest documents' ids and names, and whether there are more."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT id, org_id, name, created_at FROM {self._table} WHERE org_id = ? "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                [org_id, most + 1],
            ).fetchall()
        )
        return [Named(*row) for row in rows[:most]], len(rows) > most

    async def replace(self, document: Document, content: dict[str, Any]) -> Document:
        """Store a new version. Raises NotFound when the document is gone, ChangedMeanwhile when there is a
        newer one."""
        now = max(self._clock(), document.updated_at)
        body = orjson.dumps(content)
        changed = Document(
            document.id, document.org_id, document.created_at, now, document.version + 1, content, len(body)
        )

        def work(connection: Connection) -> None:
            done = connection.execute(
                f"UPDATE {self._table} SET name = ?, updated_at = ?, version = ?, document = ? "
                "WHERE id = ? AND org_id = ? AND version = ?",
                [_name(content), now, changed.version, body, document.id, document.org_id, document.version],
            ).rowcount
            if not done and version_in(connection, self._table, document.org_id, document.id) is None:
                raise self._not_found()
            if not done:
                raise ChangedMeanwhile(self._noun)

        await self._database.write(work)
        return changed

    async def delete(self, org_id: str, document_id: str) -> None:
        """Delete a document. Raises NotFound."""

        def work(connection: Connection) -> None:
            done = connection.execute(
                f"DELETE FROM {self._table} WHERE id = ? AND org_id = ?", [document_id, org_id]
            ).rowcount
            if not done:
                raise self._not_found()
            forget(connection, org_id, self._noun, document_id)

        await self._database.write(work, erases=True)

    def _read(self, connection: Connection, org_id: str, document_id: str | None) -> Document | None:
        version = version_in(connection, self._table, org_id, document_id)
        return self._parsed_or_read(connection, org_id, document_id, version) if version is not None else None

    def _all(
        self, connection: Connection, org_id: str, wanted: Sequence[tuple[str, int]]
    ) -> builtins.list[Document]:
        """Return those of some documents that still exist; the unknown ones are read in one round trip."""
        known = {one[0]: parsed for one in wanted if (parsed := self._parsed.get((org_id, *one)))}
        read = {
            document_id: self._select(connection, org_id, document_id)
            for document_id, _ in wanted
            if document_id not in known
        }
        known |= {document_id: found for document_id, rows in read.items() if (found := self._parse(rows))}
        return [known[document_id] for document_id, _ in wanted if document_id in known]

    def _parsed_or_read(
        self, connection: Connection, org_id: str, document_id: str | None, version: int
    ) -> Document | None:
        """Return a document that exists; None when it no longer does."""
        if parsed := self._parsed.get((org_id, document_id, version)):
            return parsed
        return self._parse(self._select(connection, org_id, document_id))

    def _select(self, connection: Connection, org_id: str, document_id: str | None) -> Cursor:
        return connection.execute(
            f"SELECT id, org_id, created_at, updated_at, version, document FROM {self._table} WHERE id = ? AND org_id = ?",
            [document_id, org_id],
        )

    def _parse(self, rows: Cursor) -> Document | None:
        row = rows.fetchone()
        if row is None:
            return None
        parsed = Document(*(*row[:5], orjson.loads(row[5]), len(row[5])))
        self._parsed[parsed.org_id, parsed.id, parsed.version] = parsed
        if len(self._parsed) > _CACHED:
            self._parsed.popitem(last=False)
        return parsed

    def _not_found(self) -> NotFound:
        return NotFound(f"{self._noun} not found", reason=f"{self._noun.upper()}_NOT_FOUND")


def _ending_between_times(times: Sequence[int], count: int) -> int:
    """Return where a page ends, at `count` or before, so that all other documents were created before or
    after its last one."""
    end = count
    while 0 < end < len(times) and times[end - 1] == times[end]:
        end -= 1
    return end or count


def _name(content: dict[str, Any]) -> str | None:
    name = content.get("name")
    return name if isinstance(name, str) else None


def version_of(connection: Connection, table: str, org_id: str, document_id: str | None) -> Cursor:
    """Select the version of a document, inside the caller's transaction; no row when there is no such document."""
    return connection.execute(
        f"SELECT version FROM {table} WHERE id = ? AND org_id = ?", [document_id, org_id]
    )


def version_in(connection: Connection, table: str, org_id: str, document_id: str | None) -> int | None:
    """Return the version of a document, inside the caller's transaction; None when there is no such document."""
    row = version_of(connection, table, org_id, document_id).fetchone()
    return row[0] if row else None


def content_in(connection: Connection, table: str, org_id: str, document_id: str | None) -> bytes:
    """Return the JSON of an existing document, inside the caller's transaction."""
    content: bytes = connection.execute(
        f"SELECT document FROM {table} WHERE id = ? AND org_id = ?", [document_id, org_id]
    ).fetchone()[0]
    return content
