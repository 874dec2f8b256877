"""What both engines promise alike: writes, snapshots, locks, and the tables."""

import asyncio
from contextlib import closing

import pytest

from server.core.errors import NotFound, StorageUnavailable
from server.core.ids import new_id
from server.storage.history import TABLES
from server.storage.store import connect_store, open_store


@pytest.fixture
def database(store):
    return store.database


def insert(name, org_id=None):
    def work(connection):
        connection.execute(
            "INSERT INTO orgs (id, name, created_at) VALUES (?, ?, ?)", [org_id or new_id(), name, 1]
        )
        return name

    return work


async def names(database):
    rows = await database.read(
        lambda connection: connection.execute("SELECT name FROM orgs ORDER BY name").fetchall()
    )
    return [name for (name,) in rows]


async def test_write_returns_what_its_work_returns_and_is_readable_at_once(database):
    assert await database.write(insert("a")) == "a"

    assert await names(database) == ["a"]


async def test_work_reads_what_it_wrote(database):
    def work(connection):
        insert("a")(connection)
        return connection.execute("SELECT count(*) FROM orgs").fetchone()

    assert await database.write(work) == (1,)


FAILURES = {
    "service error": (NotFound("gone"), NotFound),
    "bug": (ZeroDivisionError(), ZeroDivisionError),
    "constraint": ("INSERT INTO orgs (id, name, created_at) VALUES ('1', NULL, 1)", StorageUnavailable),
    "not unique": (
        "INSERT INTO orgs (id, name, created_at) VALUES ('1', 'b', 1), ('2', 'b', 1)",
        StorageUnavailable,
    ),
    "no org": (
        "INSERT INTO tools (id, org_id, created_at, updated_at, version, document) VALUES ('1', '2', 1, 1, 1, '')",
        StorageUnavailable,
    ),
}


@pytest.mark.parametrize("counts_rows", [True, False], ids=["result asked for", "result not asked for"])
@pytest.mark.parametrize(("failure", "seen"), FAILURES.values(), ids=FAILURES)
async def test_failing_write_leaves_nothing_and_the_next_one_works(database, failure, seen, counts_rows):
    def work(connection):
        insert("lost")(connection)
        if isinstance(failure, Exception):
            raise failure
        cursor = connection.execute(failure)
        return cursor.rowcount if counts_rows else None

    with pytest.raises(seen):
        await database.write(work)

    assert await names(database) == []
    assert await database.write(insert("a")) == "a"


async def test_text_that_is_not_unicode_is_refused(database):
    with pytest.raises(UnicodeEncodeError):
        await database.write(insert("\ud800"))

    assert await names(database) == []


async def test_many_writes_at_once_are_all_kept(database):
    made = await asyncio.gather(*(database.write(insert(f"{number:02}")) for number in range(50)))

    assert await names(database) == made


async def test_writes_of_one_line_are_done_in_the_order_in_which_they_were_asked_for(database):
    order = []

    def work(number):
        def work(connection):
            connection.execute("SELECT 1").fetchone()
            order.append(number)
            if number == 3:
                raise NotFound("gone")

        return work

    await asyncio.gather(
        *(database.write(work(number), line="one") for number in range(20)), return_exceptions=True
    )

    assert order == [*range(20)]


async def test_caller_that_goes_away_does_not_lose_its_write(database):
    write = asyncio.create_task(database.write(insert("a")))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await database.aclose()  # waits for it

    assert write.cancelled()


async def test_close_finishes_the_writes_that_wait(place, store):
    writes = [asyncio.create_task(store.database.write(insert(f"{number:02}"))) for number in range(20)]
    await asyncio.sleep(0)

    await store.aclose()

    await asyncio.gather(*writes)
    assert len(await names((await place.open()).database)) == 20


async def test_write_after_close_is_refused(store):
    await store.aclose()
    await store.aclose()

    with pytest.raises(StorageUnavailable, match="closing"):
        await store.database.write(insert("a"))


async def test_snapshot_stays_what_it_was_and_its_rows_come_one_after_the_other(database):
    await database.write(
        lambda connection: (
            connection.executemany(
                "INSERT INTO orgs (id, name, created_at) VALUES (?, ?, 1)",
                [(new_id(), f"{n:04}") for n in range(1200)],
            )
            and None
        )
    )

    async with database.snapshot() as snapshot:
        rows = await snapshot.run(
            lambda connection: iter(connection.execute("SELECT name FROM orgs ORDER BY name"))
        )
        first = await snapshot.run(lambda _: next(rows))
        await database.write(insert("later"))
        rest = await snapshot.run(lambda _: list(rows))
        count = await snapshot.run(
            lambda connection: connection.execute("SELECT count(*) FROM orgs").fetchone()
        )

    assert [*first, *(name for (name,) in rest)] == [f"{number:04}" for number in range(1200)]
    assert (count, len(await names(database))) == ((1200,), 1201)


async def test_values_come_back_as_the_types_that_they_went_in_as(database):
    await database.write(insert("a", "org"))
    row = ["org", "key", None, 2**53, 1, 2, 0.25, 1]
    await database.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO deleted_usage (org_id, key_id, assistant_id, created_at, prompt_tokens, "
                "completion_tokens, cost, "
                "estimated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            and None
        )
    )
    await database.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO messages (org_id, thread_id, seq, body) VALUES (?1, ?1, ?2, ?3), (?1, ?1, 1, ?3)",
                ["t", 0, b"\0\xff"],
            )
            and None
        )
    )

    def work(connection):
        sums = connection.execute(
            "SELECT sum(created_at), sum(cost), max(estimated), count(*), min(assistant_id) "
            "FROM deleted_usage"
        ).fetchone()
        return (
            connection.execute("SELECT * FROM deleted_usage").fetchone(),
            sums,
            connection.execute("SELECT body FROM messages").fetchall(),
        )

    stored, sums, bodies = await database.read(work)

    assert stored == tuple(row)
    assert (sums, bodies) == ((2**53, 0.25, 1, 1, None), [(b"\0\xff",)] * 2)
    assert [type(value) for value in (*stored, *sums)] == [
        str,
        str,
        type(None),
        int,
        int,
        int,
        float,
        int,
        int,
        float,
        int,
        int,
        type(None),
    ]


@pytest.mark.parametrize("kind", TABLES)
async def test_columns_say_what_a_row_must_have(database, kind):
    columns = await database.read(lambda connection: connection.columns(TABLES[kind].name))

    assert {column.type for column in columns} <= {"TEXT", "INTEGER", "REAL", "BLOB"}
    assert {*TABLES[kind].key} <= {column.name for column in columns if column.is_required}


async def test_both_engines_end_with_the_same_tables_and_columns(tmp_path, postgres):
    with closing(open_store(tmp_path)) as sqlite:
        tables = [
            name
            for (name,) in sqlite.database.reader.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*sqlite*' "
                "AND name <> 'totals'"
            )
        ]  # a view there
        here = {table: sorted(sqlite.database.reader.columns(table)) for table in tables}
    store = await connect_store(postgres.common)
    there = await store.database.read(
        lambda connection: {
            table: sorted(connection.columns(table))
            for (table,) in connection.execute(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
            ).fetchall()
            if table not in ("parley_migrations", "key_secret")
        }
    )
    await store.aclose()

    assert there == here
