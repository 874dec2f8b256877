"""What orgs used, summed in SQL over chats and over the numbers that are kept of deleted ones. Knows no prices."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any

from generated.parley.v1.usage_service_pb2 import UsageRow
from server.storage.database import Database

_GROUPS = {
    "day": ("day", "strftime('%Y-%m-%d', created_at / 1000, 'unixepoch')"),
    "assistant": ("assistant_id", "assistant_id"),
    "key": ("key_id", "key_id"),
}
_NUMBERS = "org_id, key_id, assistant_id, created_at, prompt_tokens, completion_tokens, cost, estimated"


class Usage:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, org_id: str, start: int | None, end: int | None, group_by: Collection[str]) -> list[UsageRow]:
        """One row a group, of the exchanges that began at `start` or later and before `end` (milliseconds)."""
        sql, parameters = _query(org_id, start, end, group_by)
        async with self._database.snapshot() as snapshot:
            rows = await snapshot.run(lambda connection: connection.execute(sql, parameters).fetchall())
        names = [_GROUPS[group][0] for group in _GROUPS if group in group_by]
        return [_row(names, row) for row in rows if row[len(names)]]  # the row of everything is there for nothing, too


def keep_numbers(connection: sqlite3.Connection, condition: str, parameters: list[Any]) -> None:
    """Keep what the chats under `condition`, which are about to be deleted, used: deleting does not change a bill."""
    connection.execute(f"INSERT INTO deleted_usage ({_NUMBERS}) SELECT {_NUMBERS} FROM chats "
                       f"WHERE status <> 'in_progress' AND {condition}", parameters)


def _query(org_id: str, start: int | None, end: int | None, group_by: Collection[str]) -> tuple[str, list[Any]]:
    bounds = {"created_at >= ?": start, "created_at < ?": end}
    condition = " AND ".join(["org_id = ?", *(bound for bound, value in bounds.items() if value is not None)])
    parameters = [org_id, *(value for value in bounds.values() if value is not None)]
    groups = [_GROUPS[group][1] for group in _GROUPS if group in group_by]
    sql = (f"SELECT {''.join(f'{group}, ' for group in groups)}count(*), sum(prompt_tokens), sum(completion_tokens), "
           f"sum(cost), sum(estimated) "
           f"FROM (SELECT {_NUMBERS} FROM chats WHERE {condition} AND status <> 'in_progress' "
           f"UNION ALL SELECT {_NUMBERS} FROM deleted_usage WHERE {condition}) ")
    by = ", ".join(str(place) for place in range(1, len(groups) + 1))
    return sql + (f"GROUP BY {by} ORDER BY {by}" if groups else ""), parameters * 2


def _row(names: list[str], row: tuple[Any, ...]) -> UsageRow:
    chats, prompt_tokens, completion_tokens, cost, estimated = row[len(names):]
    return UsageRow(chats=chats, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cost=cost,
                    estimated_chats=estimated, **dict(zip(names, row, strict=False)))
