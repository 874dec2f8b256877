"""Moves a whole store from SQLite to PostgreSQL in batches. An interrupted move can be continued.

The target stores the progress of each table in the same transaction as its rows: nothing is moved twice or
left out. Until everything is moved and counted, the target is marked as incomplete and no server starts on
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from server.storage.database import Connection, Database, DatabaseError
from server.storage.postgres import migrations as postgres_migrations
from server.storage.sqlite.backups import DATABASE, SECRET
from server.storage.sqlite.database import SqliteConnection, locked_file
from server.storage.sqlite.folder import alone
from server.storage.store import connect_database, open_store

_BATCH_ROWS = 1000
_BATCH_BYTES = 4 << 20

Report = Callable[[str, int, int], None]
"""Called with a table, the number of its rows that are moved, and the number of all."""


class Table(NamedTuple):
    """A table to move."""

    name: str
    columns: list[str]
    key: list[str]
    """The columns that order its rows when they are read."""


async def move(folder: Path, url: str, report: Report, *, with_secret: bool) -> dict[str, int]:
    """Move the store in `folder`, with or without the secret of its keys; return the number of rows of each
    table.

    The source is locked meanwhile. Raises FailedPrecondition when it is in use, and DatabaseError when the
    target holds anything else, or its counts differ.
    """
    if not (folder / DATABASE).exists():
        raise DatabaseError(f"{folder} has no {DATABASE}; name the folder that `parley serve --data` had")
    with alone(folder):
        pass  # what a server writes later would be lost; nothing is touched while one serves
    open_store(folder).close()  # undamaged, and up to date
    secret = (folder / SECRET).read_bytes() if with_secret else None
    with alone(folder):
        target = await connect_database(url, 1)
        try:
            with locked_file(folder / DATABASE) as source:
                return await _Move(source, target, report).run(secret)
        finally:
            await target.aclose()


class _Move:
    def __init__(self, source: SqliteConnection, target: Database, report: Report) -> None:
        self._source = source
        self._target = target
        self._report = report
        self._tables = [_table(source, name) for name in _names(source)]

    async def run(self, secret: bytes | None) -> dict[str, int]:
        come_to = await self._target.write(lambda connection: _begin(connection, self._tables, secret))
        counts = {table.name: self._count(table) for table in self._tables}
        for table in self._tables:
            await self._move(table, *come_to[table.name], counts[table.name])
        await self._target.write(lambda connection: _end(connection, counts))
        return counts

    def _count(self, table: Table) -> int:
        count: int = self._source.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
        return count

    async def _move(self, table: Table, last: list[Any] | None, moved: int, count: int) -> None:
        self._report(table.name, moved, count)
        while rows := self._read(table, last):
            last = list(rows[-1][: len(table.key)])
            await self._target.write(partial(_put, table, rows, last, moved))
            moved += len(rows)
            self._report(table.name, moved, count)

    def _read(self, table: Table, last: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        key = ", ".join(table.key)
        after = f"WHERE ({key}) > ({', '.join('?' * len(table.key))})" if last else ""
        rows, size = [], 0
        for row in self._source.execute(
            f"SELECT {key}, {', '.join(table.columns)} FROM {table.name} {after} ORDER BY {key} LIMIT {_BATCH_ROWS}",
            last or [],
        ):
            rows.append(row)
            size += sum(len(value) for value in row if isinstance(value, bytes))
            if size > _BATCH_BYTES:
                break
        return rows


def _names(source: SqliteConnection) -> list[str]:
    """Return the tables, referenced tables first; without the totals, which the target computes itself."""
    return [
        name
        for (name,) in source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*sqlite*' AND name <> 'totals' "
            "ORDER BY name <> 'orgs', name"
        )
    ]


def _table(source: SqliteConnection, name: str) -> Table:
    info = source.execute(f"PRAGMA table_info({name})").fetchall()
    key = [column[1] for column in sorted(info, key=lambda column: column[5]) if column[5]]
    return Table(name, [column[1] for column in info], key or ["rowid"])


def _begin(
    connection: Connection, tables: list[Table], secret: bytes | None
) -> dict[str, tuple[list[Any] | None, int]]:
    """Return the progress of each table."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {postgres_migrations.MOVING} "
        "(name text PRIMARY KEY, last_key bytea, moved bigint NOT NULL)"
    )
    known = connection.execute(f"SELECT name, last_key, moved FROM {postgres_migrations.MOVING}").fetchall()
    if not known:
        if connection.execute("SELECT 1 FROM orgs LIMIT 1").fetchone():
            raise DatabaseError("the target holds orgs already; move into an empty database")
        connection.executemany(
            f"INSERT INTO {postgres_migrations.MOVING} (name, moved) VALUES (?, 0)",
            [[table.name] for table in tables],
        )
        if secret:
            connection.execute("DELETE FROM key_secret")
            connection.execute("INSERT INTO key_secret (secret) VALUES (?)", [secret])
    come_to = {name: (orjson.loads(last) if last else None, moved) for name, last, moved in known}
    return {table.name: come_to.get(table.name, (None, 0)) for table in tables}


def _put(
    table: Table, rows: list[tuple[Any, ...]], last: list[Any], moved: int, connection: Connection
) -> None:
    connection.executemany(
        f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({', '.join('?' * len(table.columns))})",
        [row[len(table.key) :] for row in rows],
    )
    done = connection.execute(
        f"UPDATE {postgres_migrations.MOVING} SET last_key = ?, moved = moved + ? WHERE name = ? AND moved = ?",
        [orjson.dumps(last), len(rows), table.name, moved],
    ).rowcount
    if not done:
        raise DatabaseError("another move into the target is under way; wait for its end")


def _end(connection: Connection, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        found = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        if found != count:
            raise DatabaseError(
                f"{name} has {count} rows in the source and {found} in the target: the source was changed "
                "between two runs; move again, into an empty database"
            )
    connection.execute(
        "SELECT setval(pg_get_serial_sequence('outbox', 'seq'), coalesce(max(seq), 0) + 1, FALSE) FROM outbox"
    )
    connection.execute(f"DROP TABLE {postgres_migrations.MOVING}")
