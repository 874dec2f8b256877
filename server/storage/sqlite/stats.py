"""Reports the size of a SQLite file and of its parts. Only reads."""

import sqlite3
from pathlib import Path
from typing import Any

from server.storage.sqlite.backups import reading
from server.storage.sqlite.wal import check_log

_DATED = {
    "orgs": "created_at",
    "keys": "created_at",
    "assistants": "created_at",
    "squads": "created_at",
    "tools": "created_at",
    "sessions": "created_at",
    "chats": "created_at",
    "outbox": "created_at",
    "deleted_usage": "created_at",
    "idempotency_keys": "created_at",
    "receipts": "received_at",
}


def stats(path: Path) -> dict[str, Any]:
    """Return rows and bytes of each table (its indexes included), its oldest and newest row, and the pages of
    the file.

    Times are milliseconds since the epoch. Raises DatabaseError when the file cannot be read.
    """
    log = path.with_name(f"{path.name}-wal")
    check_log(path)
    with reading(path) as connection:
        page_size, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return {
            "path": str(path),
            "bytes": page_size * pages,
            "walBytes": log.stat().st_size if log.exists() else 0,
            "pageSize": page_size,
            "pages": pages,
            "freePages": free,
            "tables": _tables(connection),
        }


def _tables(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    sizes = dict(
        connection.execute(
            "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) WHERE aggregate = "
            "TRUE GROUP BY tbl_name"
        )
    )
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%' ORDER BY name"
    )
    return {
        name: {
            "rows": connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0],
            "bytes": sizes.get(name, 0),
            **_span(connection, name),
        }
        for (name,) in names.fetchall()
    }


def _span(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    if name not in _DATED:
        return {}
    oldest, newest = connection.execute(
        f"SELECT min({_DATED[name]}), max({_DATED[name]}) FROM {name}"
    ).fetchone()
    return {"oldest": oldest, "newest": newest}
