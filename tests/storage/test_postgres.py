"""PostgreSQL: lost connections, transactions in one another's way, several servers, and what operators are
told."""

import asyncio
import contextlib
import contextvars
import re
import secrets
from pathlib import Path

import psycopg
import pytest

from server.core.errors import (
    FailedPrecondition,
    IdempotencyKeyInUse,
    InvalidArgument,
    ResourceExhausted,
    StorageUnavailable,
)
from server.core.ids import new_id
from server.rpc.call import Call, enter
from server.storage.database import DatabaseError, acting_for
from server.storage.idempotency import Claim
from server.storage.keys import Caller
from server.storage.postgres.connection import PostgresConnection, translated, wait_for
from server.storage.postgres.database import PostgresDatabase
from server.storage.postgres.errors import postgres_error
from server.storage.postgres.migrations import MIGRATIONS
from server.storage.store import connect_store
from server.wire.history.lines import History, Line
from tests.postgres_proxy import PostgresProxy
from tests.storage.records import TABLES, PostgresPlace, Recorder, texts

from .test_engines import insert, names
from .test_upgrades import Org

PAGE = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text()


@pytest.fixture
def engine():
    return "postgres"


@pytest.fixture
def database(store):
    return store.database


def cut_off(postgres, place, but=""):
    """End every connection that the store has, but that of this application."""
    postgres.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'client backend' "
        f"AND datname = current_database() AND pid <> pg_backend_pid() AND application_name <> '{but or '-'}'",
        place.url,
    )


async def test_connections_that_were_lost_are_made_again(postgres, place, database):
    await asyncio.gather(*(database.write(insert(f"{number}")) for number in range(8)))
    cut_off(postgres, place)

    assert len(await names(database)) == 8
    cut_off(postgres, place)
    assert await database.write(insert("a")) == "a"


async def test_write_whose_connection_is_lost_before_its_commit_is_done_again(postgres, place, database):
    attempts = []

    def work(connection):
        insert("a")(connection)
        connection.execute("SELECT 1").fetchone()
        attempts.append(1)
        if len(attempts) == 1:
            cut_off(postgres, place)

    await database.write(lambda connection: work(connection) or connection.execute("SELECT 1").fetchone())

    assert (len(attempts), await names(database)) == (2, ["a"])


async def test_write_whose_connection_is_lost_at_its_commit_is_not_acknowledged(postgres, place, database):
    postgres.run(
        "CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
        place.url,
    )
    postgres.run(
        "CREATE CONSTRAINT TRIGGER cut_off AFTER INSERT ON orgs DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION cut_off()",
        place.url,
    )
    observed = []
    database.watch = observed.append
    try:
        with pytest.raises(StorageUnavailable, match="it may or may not be"):
            await database.write(insert("a"))
    finally:
        postgres.run("DROP FUNCTION cut_off CASCADE", place.url)
    assert await database.write(insert("b")) == "b"
    assert observed == [False, True]


async def test_deadlock_is_run_again(database):
    both = asyncio.Barrier(2)
    attempts = []

    def work(first, second):
        def work(connection):
            connection.lock(first)
            connection.execute("SELECT 1").fetchone()
            attempts.append(first)
            if attempts.count(first) == 1:
                wait_for(both.wait())
            connection.lock(second)
            insert(first)(connection)

        return work

    await asyncio.gather(database.write(work("a", "b")), database.write(work("b", "a")))

    assert (sorted(set(attempts)), len(attempts)) == (["a", "b"], 3)
    assert await names(database) == ["a", "b"]


async def test_more_callers_than_connections_wait_for_one_another(place, clock):
    store = await connect_store(place.url, connections=1, clock=clock)

    assert (
        len(await asyncio.gather(*(store.database.write(insert(f"{number}")) for number in range(20)))) == 20
    )
    await store.aclose()


async def test_read_only_database_is_an_error_for_writes_and_can_be_read(postgres, place, database):
    await database.write(insert("a"))
    name = place.url.partition("@/")[2].partition("?")[0]
    postgres.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        cut_off(postgres, place)
        with pytest.raises(FailedPrecondition) as error:
            await database.write(insert("b"))
    finally:
        postgres.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert (error.value.reason, await names(database)) == ("READ_ONLY", ["a"])
    cut_off(postgres, place)


ERRORS = {
    "full": (psycopg.errors.DiskFull, ResourceExhausted, "DISK_FULL", None),
    "too many connections": (psycopg.errors.TooManyConnections, StorageUnavailable, "STORAGE_UNAVAILABLE", 1),
    "locked": (psycopg.errors.LockNotAvailable, StorageUnavailable, "STORAGE_UNAVAILABLE", 1),
    "lost": (psycopg.OperationalError, StorageUnavailable, "STORAGE_UNAVAILABLE", 1),
    "constraint": (psycopg.errors.UniqueViolation, StorageUnavailable, "STORAGE_UNAVAILABLE", None),
}


@pytest.mark.parametrize(("error", "kind", "reason", "retry_after"), ERRORS.values(), ids=ERRORS)
def test_caller_gets_the_cause_but_not_in_the_words_of_postgresql(error, kind, reason, retry_after):
    observed = postgres_error(error("Key (name)=(secret) already exists"))

    assert (type(observed), observed.reason, observed.retry_after) == (kind, reason, retry_after)
    assert "secret" not in observed.message


async def test_number_that_no_index_takes_is_refused(recorder):
    with pytest.raises(InvalidArgument, match="too long"):
        await recorder.open_session(phone_number_id=secrets.token_urlsafe(6000))

    assert await recorder.rows("sessions") == 0


def test_parameters_are_numbered_as_postgresql_has_them():
    assert translated("a = ? AND b = ?") == "a = $1 AND b = $2"
    assert translated("a = ?2 AND b = ?1 AND c = ?2") == "a = $2 AND b = $1 AND c = $2"


# --- opening ------------------------------------------------------------------------------------------------


async def test_servers_that_start_at_once_make_one_schema_and_one_secret(postgres, clock):
    place = PostgresPlace(clock, postgres.new_database())

    stores = await asyncio.gather(*(place.open() for _ in range(4)))

    made = await stores[0].keys.create("acme", "api")
    assert [(await store.keys.caller(made.key)).key_id for store in stores] == [made.id] * 4
    assert postgres.run("SELECT count(*) FROM parley_migrations", place.url) == [(len(MIGRATIONS),)]
    await place.close()


REFERENCE_TABLES = {"orgs", "keys"}
LOCAL_TABLES = {"key_secret", "parley_migrations"}


async def test_every_table_can_be_distributed_by_org_and_the_page_names_it(postgres, place, store):
    indexes = postgres.run(
        "SELECT relname, indexrelid::regclass::text, indisunique, attname FROM pg_class "
        "LEFT JOIN pg_index ON indrelid = pg_class.oid LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        place.url,
    )
    tables = {table for table, *_ in indexes} - REFERENCE_TABLES - LOCAL_TABLES

    assert [
        index for table, index, unique, first in indexes if table in tables and unique and first != "org_id"
    ] == []
    assert {table for table, _, _, first in indexes if first == "org_id"} - REFERENCE_TABLES == tables
    assert set(re.findall(r"create_reference_table\('(\w+)'\)", PAGE)) == REFERENCE_TABLES
    assert set(re.findall(r"create_distributed_table\('(\w+)', 'org_id'\)", PAGE)) == tables


async def test_statements_on_what_an_org_has_name_the_org(recorder, monkeypatch):
    executed, execute = set(), PostgresConnection.execute

    def recording(self, sql, parameters=()):
        executed.add(sql)
        return execute(self, sql, parameters)

    monkeypatch.setattr(PostgresConnection, "execute", recording)
    org, store = Org(recorder), recorder.store
    await org.fill()
    await org.shown(store)
    for documents in (store.assistants, store.squads, store.tools):
        made = await documents.create(recorder.key.org_id, {"name": "n"})
        await documents.replace(await documents.get(recorder.key.org_id, made.id), {})
        await documents.ids_of(recorder.key.org_id, "n", 2)
        await documents.delete(recorder.key.org_id, made.id)
    await store.usage.sums(recorder.key.org_id, 0, None, ["key"])
    for session_id in (None, org.sessions[0]):
        exported = [
            line
            async for lines in History(store.database).export(recorder.key.org_id, session_id, secrets=True)
            for line in lines
        ]
        copy = (await Recorder.of_new_org(store, recorder.clock)).key.org_id
        await History(store.database).ingest(
            copy, [Line(number, text) for number, text in enumerate(exported, 1)]
        )
    await org.go_on(store)

    tables = "|".join({*TABLES} - REFERENCE_TABLES)
    ours = {sql for sql in executed if re.search(rf"\b(FROM|INTO|UPDATE|JOIN) ({tables})\b", sql)}
    assert len(ours) > 60
    assert {sql for sql in ours if _names_org_less_often_than_tables(sql, tables)} == set()


def _names_org_less_often_than_tables(sql, tables):
    """Each table that a statement has needs a condition, or a column of its own."""
    return len(re.findall(r"\borg_id (?:= |IN )|INSERT INTO \w+ \([^)]*\borg_id\b", sql)) < len(
        re.findall(rf"\b(?:FROM|INTO|UPDATE|JOIN) (?:{tables})\b", sql)
    )


async def test_database_of_a_newer_version_is_refused(postgres, place, store):
    postgres.run("INSERT INTO parley_migrations (number, name) VALUES (1000, 'later')", place.url)
    try:
        with pytest.raises(DatabaseError, match="newer version"):
            await place.open()
    finally:
        postgres.run("DELETE FROM parley_migrations WHERE number = 1000", place.url)


UNUSABLE = {
    "not a url": ("postgresql://ho st:port/x", "cannot be read"),
    "nobody there": (
        "postgresql://me:hunter2@127.0.0.1:1/parley",
        r"127\.0\.0\.1:1/parley cannot be reached",
    ),
    "no such database": (None, "has no such database"),
}


@pytest.mark.parametrize(("url", "observed"), UNUSABLE.values(), ids=UNUSABLE)
async def test_database_that_cannot_be_used_is_refused_with_a_remedy(postgres, url, observed):
    with pytest.raises(DatabaseError, match=observed) as error:
        await connect_store(url or postgres.url("nobody_made_it"))

    assert "hunter2" not in str(error.value)


# --- two servers on one database ----------------------------------------------------------------------------


async def test_exchanges_that_two_servers_put_into_one_session_are_all_in_it_each_in_one_piece(
    place, recorder
):
    stores = [recorder.store, await place.open()]
    session = await recorder.open_session()

    await asyncio.gather(
        *(
            stores[number % 2].chats.record(recorder.exchange(f"{number}", session_id=session.session.id))
            for number in range(30)
        )
    )

    history = texts(await recorder.store.sessions.history(session))
    assert sorted(history[::2], key=int) == [str(number) for number in range(30)]
    assert history[1::2] == [f"re: {text}" for text in history[::2]]


async def test_chats_that_two_servers_continue_at_once_fork(place, recorder):
    stores = [recorder.store, await place.open()]
    first = await recorder.add("a")
    exchanges = [recorder.exchange(f"b{number}", first) for number in range(20)]

    await asyncio.gather(*(stores[number % 2].chats.record(one) for number, one in enumerate(exchanges)))

    for number, exchange in enumerate(exchanges):
        stored = await stores[0].chats.find(recorder.scope, exchange.chat.id)
        assert await recorder.history(stored) == ["a", "re: a", f"b{number}", f"re: b{number}"]
    assert await recorder.rows("messages") == 2 + 20 * 2


async def test_chat_continued_at_one_server_while_another_deletes_it_loses_nothing_that_is_needed(
    place, recorder
):
    stores = [recorder.store, await place.open()]
    for _ in range(10):
        first = await recorder.add("a")
        exchange = recorder.exchange("b", first)
        results = await asyncio.gather(
            stores[0].chats.record(exchange),
            stores[1].chats.delete(recorder.scope, first.id),
            return_exceptions=True,
        )
        if results[0] is None:
            stored = await stores[1].chats.find(recorder.scope, exchange.chat.id)
            assert await recorder.history(stored) == ["a", "re: a", "b", "re: b"]
            await stores[1].chats.delete(recorder.scope, stored.id)

    assert [await recorder.rows(table) for table in ("chats", "messages", "forks")] == [0, 0, 0]


async def test_idempotency_key_that_two_servers_are_sent_at_once_is_claimed_by_one_of_them(place, recorder):
    stores = [recorder.store, await place.open()]

    claims = await asyncio.gather(
        *(store.idempotency.claim(recorder.scope, "key", b"print") for store in stores),
        return_exceptions=True,
    )

    assert await recorder.rows("idempotency_keys") == 1
    assert {type(claim) for claim in claims} == {Claim, IdempotencyKeyInUse}


async def test_lane_of_the_outbox_that_two_servers_write_has_one_row_that_is_due(place, recorder):
    from server.storage.outbox import Delivery

    stores = [recorder.store, await place.open()]
    deliveries = [
        Delivery(org_id=recorder.key.org_id, kind="x", lane="lane", body=new_id().encode()) for _ in range(20)
    ]

    await asyncio.gather(
        *(
            stores[number % 2].database.write(
                lambda connection, one=one: stores[0].outbox.put(connection, [one])
            )
            for number, one in enumerate(deliveries)
        )
    )

    for left in range(20, 0, -1):
        [waiting] = await stores[left % 2].outbox.due(64, [], [])
        await stores[left % 2].outbox.delivered(waiting)
    assert await recorder.rows("outbox") == 0


async def test_org_is_seen_by_every_server_at_once(place, store, clock):
    other = await place.open()

    here, there = await asyncio.gather(
        Recorder.of_new_org(store, clock, "acme"), Recorder.of_new_org(other, clock, "acme")
    )

    assert here.key.org_id == there.key.org_id


# --- a database that is away --------------------------------------------------------------------------------


async def test_calls_fail_at_once_while_the_database_is_away_and_work_when_it_is_back(place):
    async with PostgresProxy(place.url) as proxy:
        database = await PostgresDatabase.connect(proxy.url, 4)
        works = asyncio.Queue()
        database.watch = works.put_nowait
        await asyncio.gather(*(database.read(one) for _ in range(4)))
        proxy.refuses = True
        proxy.cut()

        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            while True:
                await database.read(one)
        assert await works.get() is False
        for _ in range(100):  # each would wait ten seconds for a connection
            with pytest.raises(StorageUnavailable, match="cannot be reached; nothing was written, try again"):
                await database.write(one)
        proxy.refuses = False

        assert await works.get() is True
        assert await database.read(one) == 1
        await database.aclose()


async def test_calls_that_wait_for_a_connection_end_as_the_database_is_found_away(place):
    async with PostgresProxy(place.url) as proxy:
        database = await PostgresDatabase.connect(proxy.url, 1)
        assert await database.read(one) == 1
        proxy.refuses = True
        proxy.cut()

        failed = await asyncio.gather(*(database.read(one) for _ in range(50)), return_exceptions=True)

        assert {type(error) for error in failed} == {StorageUnavailable}
        await database.aclose()


async def test_database_that_is_back_soon_fails_no_call(place, monkeypatch):
    monkeypatch.setattr("server.storage.postgres.pool._PATIENCE_SECONDS", 20)
    async with PostgresProxy(place.url) as proxy:
        database = await PostgresDatabase.connect(proxy.url, 4)
        assert await database.read(one) == 1
        proxy.refuses = True
        proxy.cut()
        reading = asyncio.create_task(database.read(one))
        async with asyncio.timeout(20):
            while proxy.connections < 3:  # noqa: ASYNC110 (the proxy has no event)
                await asyncio.sleep(0)
        proxy.refuses = False

        assert await reading == 1
        await database.aclose()


def one(connection):
    return connection.execute("SELECT 1").fetchone()[0]


# --- many writes that wait ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def locked_for_writes(place, name):
    """Another server's transaction that holds what `Connection.lock(name)` waits for."""
    async with await psycopg.AsyncConnection.connect(place.url) as holding:
        await holding.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield


def write_under(database, org_id, name):
    """Begin a write of an org that takes a lock."""
    context = contextvars.copy_context()
    context.run(acting_for.set, org_id)
    return asyncio.create_task(
        database.write(lambda connection: (connection.lock(name), one(connection))[1]), context=context
    )


@pytest.mark.parametrize("connections", [3, 10])
async def test_blocked_writes_of_one_org_leave_connections_to_reads_and_to_other_orgs(place, connections):
    database = await PostgresDatabase.connect(place.url, connections)
    async with locked_for_writes(place, "a"):
        blocked = [write_under(database, "org a", "a") for _ in range(3 * connections)]
        await all_connections_of_org_wait(database, blocked)

        assert await asyncio.gather(*(database.read(one) for _ in range(20))) == [1] * 20
        others = [write_under(database, org, "b") for org in ("org b", "org c", "") for _ in range(5)]
        assert await asyncio.gather(*others) == [1] * 15
        assert not any(write.done() for write in blocked)

    assert await asyncio.gather(*blocked) == [1] * len(blocked)
    await database.aclose()


async def all_connections_of_org_wait(database, blocked):
    """Until as many writes wait for the lock as may."""
    async with asyncio.timeout(20):
        while True:
            waiting = await database.read(
                lambda connection: connection.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchone()[0]
            )
            if waiting == min(len(blocked), database._pool._shares._most_of_one):
                return


async def test_org_whose_writes_all_wait_too_long_gets_busy_and_others_do_not(place, monkeypatch):
    monkeypatch.setattr("server.storage.postgres.pool._SHARE_SECONDS", 0)
    database = await PostgresDatabase.connect(place.url, 3)
    observed = []
    database.watch = observed.append
    async with locked_for_writes(place, "a"):
        blocked = write_under(database, "org a", "a")
        await all_connections_of_org_wait(database, [blocked])

        with pytest.raises(StorageUnavailable, match="busy; nothing was written, try again"):
            await write_under(database, "org a", "b")
        assert await write_under(database, "org b", "b") == 1

    assert await blocked == 1
    assert observed == []
    await database.aclose()


def test_call_acts_for_the_org_of_its_caller():
    def entered(caller):
        enter(Call("1", "/parley.v1.ChatService/CreateChat", {}, caller))
        return acting_for.get()

    org = new_id()
    assert contextvars.copy_context().run(entered, Caller(org, new_id(), "api")) == org
    assert contextvars.copy_context().run(entered, None) == ""
