"""`parley migrate-store`: everything of a SQLite store in PostgreSQL, however often the move broke off."""

import asyncio
import json
from contextlib import closing

import psycopg
import pytest

from server.storage.database import DatabaseError
from server.storage.moving import move
from server.storage.outbox import Delivery
from server.storage.store import connect_store, open_store
from server.wire.history.lines import History
from tests.processes import run, running
from tests.storage.records import Recorder, StandingClock, all_rows

MESSAGES = 2500
ORGS = 3


@pytest.fixture(scope="module")
async def source(tmp_path_factory):
    """A folder with something in every table, and one org's key."""
    folder, clock = tmp_path_factory.mktemp("source"), StandingClock()
    with closing(open_store(folder, clock=clock)) as store:
        for number in range(ORGS):
            recorder = await Recorder.of_new_org(store, clock, f"org-{number}")
            session = await recorder.open_session("hello", name="n")
            first = await recorder.add("a", session=session)
            await recorder.add("b", first, alternatives=["c"])
            gone = await recorder.add("gone")
            await store.chats.delete(recorder.scope, gone.id)
            for documents in (store.assistants, store.squads, store.tools):
                await documents.create(recorder.key.org_id, {"name": "x", "number": 1.5})
            claim = await store.idempotency.claim(recorder.scope, "key", b"print")
            await store.idempotency.persist(claim, b"answer")
            deliveries = [
                Delivery(org_id=recorder.key.org_id, kind="x", lane="lane", body=b"1") for _ in range(3)
            ]
            await store.database.write(lambda connection, put=deliveries: store.outbox.put(connection, put))
            await store.outbox.receive(
                Delivery(org_id=recorder.key.org_id, kind="x", lane="in", body=b"2"), "SM1"
            )
        await store.database.write(
            lambda connection, own=(recorder.key.org_id, session.thread_id): (
                connection.executemany(
                    "INSERT INTO messages (org_id, thread_id, seq, body) VALUES (?, ?, ?, ?)",
                    [(*own, seq, b"") for seq in range(100, 100 + MESSAGES)],
                )
                and None
            )
        )
        await store.database.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO chat_events (org_id, chat_id, sequence, body) VALUES ('o', 'x', 1, ?)",
                    [b"\0\xff"],
                )
                and None
            )
        )
    return folder, recorder.key


@pytest.fixture
def target(postgres):
    return postgres.new_database()


async def export_of(store, org_id):
    return [
        line async for lines in History(store.database).export(org_id, None, secrets=True) for line in lines
    ]


async def is_whole(source, url):
    """Whether the target is the source again, and works: keys, history, the next row of the outbox."""
    folder, key = source
    there = await connect_store(url)
    with closing(open_store(folder)) as here:
        rows = await all_rows(here.database)
        assert await all_rows(there.database) == rows
        assert all(table.rows for table in rows.values())
        assert await export_of(there, key.org_id) == await export_of(here, key.org_id)
    assert (await there.keys.caller(key.key)).key_id == key.id
    await there.database.write(
        lambda connection: there.outbox.put(
            connection, [Delivery(org_id=key.org_id, kind="x", lane="lane", body=b"4")]
        )
    )
    await there.aclose()


async def test_command_moves_everything_and_counts_it(source, target):
    ended = await run("parley", "migrate-store", f"sqlite:{source[0]}", target, "--json")

    assert (ended.code, ended.err) == (0, "")
    moved = json.loads(ended.out)["moved"]
    assert (moved["messages"], moved["orgs"]) == (MESSAGES + ORGS * 5, ORGS)
    await is_whole(source, target)


async def test_move_that_was_killed_in_the_middle_goes_on(source, target):
    command = ("parley", "migrate-store", f"sqlite:{source[0] / 'parley.db'}", target)
    await (await connect_store(target)).aclose()
    async with await psycopg.AsyncConnection.connect(target, autocommit=True) as holder:
        # The move stops in its second thousand of messages, and is killed there.
        await holder.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'"
        )
        await holder.execute(
            "CREATE TRIGGER wait BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.seq = 1700) "
            "EXECUTE FUNCTION wait()"
        )
        await holder.execute("SELECT pg_advisory_lock(42)")
        async with running(*command) as process:
            async with asyncio.timeout(40):
                while not await (
                    await holder.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                ).fetchone():
                    pass
            process.kill()
            await process.wait()
        with pytest.raises(DatabaseError, match="migrate-store"):
            await connect_store(target)
        moved = await (
            await holder.execute("SELECT moved FROM parley_moving WHERE name = 'messages'")
        ).fetchone()

    ended = await run(*command)

    assert 0 < moved[0] < MESSAGES
    assert ended.code == 0
    assert "every count is the same" in ended.out
    assert "messages" in ended.err  # the progress bars
    await is_whole(source, target)


async def test_move_that_breaks_off_after_every_batch_goes_on(source, target):
    class Enough(Exception):
        pass

    def report(table, moved, count):
        come_to[table] = moved
        if moved and (table, moved) not in seen:
            seen.add((table, moved))
            raise Enough

    seen, come_to = set(), {}
    for _ in range(100):
        try:
            await move(source[0], target, report, with_secret=True)
            break
        except Enough:
            continue

    assert len(seen) > 10
    await is_whole(source, target)


async def test_database_that_holds_something_is_left_alone(source, target):
    store = await connect_store(target)
    await store.keys.create("mine", "api")
    await store.aclose()

    with pytest.raises(DatabaseError, match="holds orgs already"):
        await move(source[0], target, lambda *_: None, with_secret=True)

    store = await connect_store(target)
    assert [key["orgName"] for key in await store.keys.list()] == ["mine"]
    await store.aclose()


async def test_source_that_changed_between_two_runs_is_noticed(tmp_path, target):
    clock = StandingClock()
    with closing(open_store(tmp_path, clock=clock)) as store:
        await Recorder.of_new_org(store, clock, "one")

    def report(table, moved, count):
        if table == "orgs" and moved:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await move(tmp_path, target, report, with_secret=True)
    with closing(open_store(tmp_path, clock=clock)) as store:
        await store.database.write(
            lambda connection: (
                connection.execute(
                    # before what was moved
                    "INSERT INTO orgs (id, name, created_at) VALUES ('0', 'two', 1)"
                )
                and None
            )
        )

    with pytest.raises(DatabaseError, match="orgs has 2 rows in the source and 1 in the target"):
        await move(tmp_path, target, lambda *_: None, with_secret=True)


REFUSED = {
    "kind": ("postgresql://x", "SOURCE must be sqlite:FOLDER"),
    "no store": ("sqlite:{}", "has no parley.db"),
}


@pytest.mark.parametrize(("source_url", "expected"), REFUSED.values(), ids=REFUSED)
async def test_source_that_is_none_is_one_line(tmp_path, source_url, expected):
    ended = await run("parley", "migrate-store", source_url.format(tmp_path), "postgresql://127.0.0.1:1/x")

    assert ended.code not in (0, None)
    assert expected in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "parley.db").exists()
