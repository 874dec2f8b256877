"""Which index a page of chats, its total and the usage are found by, as each engine plans them."""

from typing import Any

import pytest

from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from server.storage.chats import _FILTERS
from server.storage.database import Connection
from server.storage.listing import Listing, listing_of
from server.storage.usage import _query
from tests.storage.records import Recorder

MANY = 3000
RARE, UNUSED = f"{0:08d}-0000-7000-8000-000000000000", f"{1:08d}-0000-7000-8000-000000000000"
NEVER = "2100-01-01T00:00:00Z"
NUMBERS = {
    "sqlite": "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) "
    "SELECT n FROM numbers) AS numbers",
    "postgres": "generate_series(1, ?1) AS numbers (n)",
}
COPIED = {
    "id": "'c' || n",
    "thread_id": "'c' || n",
    "created_at": "created_at + n",
    "updated_at": "updated_at + n",
    "previous_chat_id": "'c' || (n - 1)",
    "assistant_id": f"CASE WHEN n = 1 THEN '{RARE}' ELSE 'a' || n % 2 END",
}


@pytest.fixture
async def many(recorder: Recorder, engine: str) -> Recorder:
    """An org of many chats, of which one has a rare assistant."""
    await recorder.add("a")

    def work(connection: Connection) -> None:
        columns = [column.name for column in connection.columns("chats")]
        values = [COPIED.get(name, name) for name in columns]
        connection.execute(
            f"INSERT INTO chats ({', '.join(columns)}) SELECT {', '.join(values)} FROM "
            f"{NUMBERS[engine]} CROSS JOIN (SELECT * FROM chats) AS one",
            [MANY],
        )
        if engine == "postgres":
            connection.execute("ANALYZE chats")

    await recorder.store.database.write(work)
    return recorder


async def plan(recorder: Recorder, engine: str, statement: tuple[str, list[Any]]) -> str:
    sql, parameters = statement
    explain = "EXPLAIN QUERY PLAN" if engine == "sqlite" else "EXPLAIN"
    rows = await recorder.store.database.read(
        lambda connection: connection.execute(f"{explain} {sql}", parameters).fetchall()
    )
    return "\n".join(str(row[-1]) for row in rows)


PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "of a predecessor": ({"previous_chat_id": UNUSED}, "chats_by_previous"),
    "of a rare assistant": ({"assistant_id": RARE}, "chats_by_assistant"),
    "of a rare assistant, in a list": ({"assistant_id_any": RARE}, "chats_by_assistant"),
    "of no assistant": ({"assistant_id": UNUSED}, "chats_by_assistant"),
    "updated later": ({"updated_at_gt": NEVER}, "chats_by_update"),
    "updated then or later": ({"updated_at_ge": NEVER, "sort_order": "ASC"}, "chats_by_update"),
    "updated earlier": ({"updated_at_lt": "2000-01-01T00:00:00Z"}, "chats_by_update"),
}


@pytest.mark.parametrize(("members", "index"), PAGES.values(), ids=PAGES)
async def test_page_and_total_of_few_among_many_are_found_by_an_index(
    many: Recorder, engine: str, members: dict[str, Any], index: str
) -> None:
    listing: Listing = listing_of(ListChatsRequest(**members), many.scope, _FILTERS)

    for statement in (listing.select("body", "chats"), listing.count_all("chats")):
        found = await plan(many, engine, statement)
        assert index in found
        assert "Seq Scan on chats" not in found and "SCAN chats" not in found


async def test_usage_of_a_day_reads_the_chats_of_that_day_in_an_index(many: Recorder, engine: str) -> None:
    day = many.clock.now + 2 * 86_400_000

    found = await plan(many, engine, _query(many.key.org_id, day, day + 86_400_000, ["assistant"]))

    assert "chats_usage" in found
    assert "created_at>? AND created_at<?" in found or "Index Cond" in found
