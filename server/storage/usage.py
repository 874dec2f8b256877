"""Usage of orgs, summed in SQL over chats and over the stored numbers of deleted ones. Knows no prices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from generated.parley.v1.usage_service_pb2 import UsageRow
from server.core.clock import timestamp
from server.core.errors import InvalidArgument
from server.storage.database import Connection, Database

_DAY_MS = 86_400_000
MOST_ROWS = 10_000
"""Per answer, which then has 1.5 MB."""
_GROUPS = {
    "day": ("day", f"created_at / {_DAY_MS}"),
    "assistant": ("assistant_id", "assistant_id"),
    "key": ("key_id", "key_id"),
}
_DIMENSIONS = {
    "day": f"created_at / {_DAY_MS}",
    "assistant": "assistant_id",
    "model": "model",
    "key": "key_id",
    "org": "org_id",
}
DIMENSIONS = tuple(_DIMENSIONS)
_NAMES = {
    "assistant": "(SELECT min(name) FROM assistants WHERE assistants.id = sums.one)",
    "org": "(SELECT name FROM orgs WHERE orgs.id = sums.one)",
}
_OF_KEY = "WHERE org_id = ?1 AND key_id = ?2"
_BYTES_OF_KEY = (
    "SELECT "
    f"(SELECT coalesce(sum(length(body) + length(record)), 0) FROM chats {_OF_KEY}), "
    f"(SELECT coalesce(sum(length(body) + length(variables)), 0) FROM sessions {_OF_KEY}), "
    "(SELECT coalesce(sum(length(body)), 0) FROM messages WHERE org_id = ?1 AND thread_id IN "
    f"(SELECT thread_id FROM sessions {_OF_KEY} UNION SELECT thread_id FROM chats {_OF_KEY}))"
)
_NUMBERS = "org_id, key_id, assistant_id, created_at, prompt_tokens, completion_tokens, cost, estimated"


class Total(NamedTuple):
    """The usage of one day, assistant, model, key or org."""

    one: str | None
    """The day (2026-01-31), the model (provider/model) or the id. None for exchanges without one, and for
    the models of deleted chats, which are not kept."""
    name: str | None
    """The name that belongs to the id."""
    chats: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    estimated: int
    """Number of exchanges whose token counts are estimates."""


class Usage:
    """The stored usage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(
        self, org_id: str, start: int | None, end: int | None, group_by: Collection[str]
    ) -> list[UsageRow]:
        """Return one row for each group, of the exchanges that began at `start` or later and before `end`
        (milliseconds).

        Raises InvalidArgument for more than `MOST_ROWS`: a part could be mistaken for all.
        """
        sql, parameters = _query(org_id, start, end, group_by)
        async with self._database.snapshot() as snapshot:
            rows = await snapshot.run(lambda connection: connection.execute(sql, parameters).fetchall())
        if len(rows) > MOST_ROWS:
            raise InvalidArgument.of(
                "groupBy",
                f"makes more than {MOST_ROWS} rows; ask for a shorter time by `start` and "
                "`end`, or group by less",
            )
        names = [_GROUPS[group][0] for group in _GROUPS if group in group_by]
        # the row for everything exists even without exchanges
        return [_row(names, row) for row in rows if row[len(names)]]

    async def totals(self, org_id: str | None, start: int | None, end: int | None, by: str) -> list[Total]:
        """Return the usage by one of the `DIMENSIONS`, of one org or of all, of the exchanges that began at
        `start` or later and before `end` (milliseconds); as many rows as there are."""
        bounds = {"org_id = ?": org_id, "created_at >= ?": start, "created_at < ?": end}
        given = {condition: value for condition, value in bounds.items() if value is not None}
        condition = " AND ".join(["TRUE", *given])
        models = ("provider || '/' || model", "CAST(NULL AS TEXT)") if by == "model" else ("''", "''")
        sql = (
            f"SELECT one, {_NAMES.get(by, 'NULL')}, chats, prompt, completion, cost, estimated FROM ("
            f"SELECT {_DIMENSIONS[by]} AS one, count(*) AS chats, sum(prompt_tokens) AS prompt, "
            "sum(completion_tokens) AS completion, sum(cost) AS cost, sum(estimated) AS estimated "
            f"FROM (SELECT {_NUMBERS}, {models[0]} AS model FROM chats "
            f"WHERE {condition} AND status <> 'in_progress' UNION ALL "
            f"SELECT {_NUMBERS}, {models[1]} AS model FROM deleted_usage WHERE {condition}) AS used GROUP BY 1"
            ") AS sums ORDER BY one NULLS FIRST"
        )
        async with self._database.snapshot() as snapshot:
            rows = await snapshot.run(
                lambda connection: connection.execute(sql, [*given.values()] * 2).fetchall()
            )
        return [_total(by, *row) for row in rows]

    async def bytes_of_key(self, org_id: str, key_id: str) -> int:
        """Return the stored bytes that were created with a key, as SQL counts them; scans all of its rows
        without reading them."""
        async with self._database.snapshot() as snapshot:
            sums = await snapshot.run(
                lambda connection: connection.execute(_BYTES_OF_KEY, [org_id, key_id]).fetchone()
            )
        return sum(int(one) for one in sums)


def preserve_usage(connection: Connection, org_id: str, condition: str, value: str) -> None:
    """Preserve the usage of chats under `condition`, which are about to be deleted: deleting does not change
    a bill."""
    connection.execute(
        f"INSERT INTO deleted_usage ({_NUMBERS}) SELECT {_NUMBERS} FROM chats "
        f"WHERE org_id = ? AND status <> 'in_progress' AND {condition}",
        [org_id, value],
    )


def _query(
    org_id: str, start: int | None, end: int | None, group_by: Collection[str]
) -> tuple[str, list[Any]]:
    bounds = {"created_at >= ?": start, "created_at < ?": end}
    condition = " AND ".join(["org_id = ?", *(bound for bound, value in bounds.items() if value is not None)])
    parameters = [org_id, *(value for value in bounds.values() if value is not None)]
    groups = [_GROUPS[group][1] for group in _GROUPS if group in group_by]
    sql = (
        f"SELECT {''.join(f'{group}, ' for group in groups)}count(*), sum(prompt_tokens), sum(completion_tokens), "
        f"sum(cost), sum(estimated) "
        f"FROM (SELECT {_NUMBERS} FROM chats WHERE {condition} AND status <> 'in_progress' "
        f"UNION ALL SELECT {_NUMBERS} FROM deleted_usage WHERE {condition}) AS used "
    )
    places = [str(place) for place in range(1, len(groups) + 1)]
    order = ", ".join(f"{place} NULLS FIRST" for place in places)  # the engines differ in where they put them
    grouped = f"GROUP BY {', '.join(places)} ORDER BY {order} LIMIT {MOST_ROWS + 1}" if groups else ""
    return sql + grouped, parameters * 2


def _total(by: str, one: Any, name: str | None, *sums: Any) -> Total:
    chats, prompt_tokens, completion_tokens, cost, estimated = sums
    if by == "day":
        one = _day(one)
    return Total(
        one, name, int(chats), int(prompt_tokens), int(completion_tokens), float(cost), int(estimated)
    )


def _day(number: int) -> str:
    return timestamp(number * _DAY_MS).ToDatetime().date().isoformat()


def _row(names: list[str], row: tuple[Any, ...]) -> UsageRow:
    chats, prompt_tokens, completion_tokens, cost, estimated = row[len(names) :]
    groups = dict(zip(names, row, strict=False))
    if "day" in groups:
        groups["day"] = _day(groups["day"])
    return UsageRow(
        chats=chats,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=cost,
        estimated_chats=estimated,
        **groups,
    )
