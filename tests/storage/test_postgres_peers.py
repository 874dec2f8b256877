"""Servers that share a PostgreSQL database: their locks, what they tell one another, and lost connections."""

import asyncio
import contextlib

import psycopg
import pytest

from server.core.errors import StorageUnavailable
from server.storage.postgres.peers import PostgresPeers
from tests.postgres_proxy import PostgresProxy
from tests.storage.test_postgres import cut_off


@pytest.fixture
def engine():
    return "postgres"


@pytest.fixture
async def peers(place):
    """Two servers."""
    both = [PostgresPeers(place.url), PostgresPeers(place.url)]
    yield both
    for one in both:
        await one.aclose()


WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"


@contextlib.asynccontextmanager
async def closing(peers):
    try:
        yield peers
    finally:
        await peers.aclose()


async def until(try_lock, name):
    """Try until the lock is acquired."""
    async with asyncio.timeout(20):
        while not await try_lock(name):  # noqa: ASYNC110 (another server has no event)
            await asyncio.sleep(0)
    return True


async def until_reached(try_lock, name):
    """Try until the database is reached; whether the lock was acquired."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await try_lock(name)
            except StorageUnavailable:
                await asyncio.sleep(0)


async def until_held_elsewhere(peers, name):
    async with asyncio.timeout(20):
        while await peers.try_lock(name):
            await peers.unlock(name)
            await asyncio.sleep(0)
    return True


async def received(event):
    async with asyncio.timeout(20):
        await event.wait()
    event.clear()


async def test_lock_is_one_servers_until_it_lets_go(peers):
    here, there = peers

    assert [
        await here.try_lock("a"),
        await here.try_lock("a"),
        await there.try_lock("a"),
        await there.try_lock("b"),
    ] == [True, False, False, True]
    await here.unlock("a")
    assert await until(there.try_lock, "a")


async def test_lock_that_many_try_at_once_is_taken_by_one(peers):
    assert sum(await asyncio.gather(*(peers[number % 2].try_lock("a") for number in range(20)))) == 1


async def test_letting_go_of_what_one_does_not_hold_does_nothing(peers):
    here, there = peers
    assert await here.try_lock("a")

    await there.unlock("a")

    assert not await there.try_lock("a")


async def test_locks_end_with_their_server(peers, place):
    gone = PostgresPeers(place.url)
    assert await gone.try_lock("a")

    await gone.aclose()

    assert await peers[0].try_lock("a")


async def test_word_is_heard_by_every_server(peers):
    here, there = peers
    with here.listen("a") as first, there.listen("a") as second, there.listen("b") as other:
        for event in (first, second, other):
            await received(event)  # they listen now, and had to look

        here.notify("a")

        await asyncio.gather(received(first), received(second))
        assert not other.is_set()


async def test_locks_are_taken_again_and_words_heard_after_the_connections_were_lost(peers, place, postgres):
    here, there = peers
    with there.listen("a") as event:
        await received(event)
        assert await here.try_lock("a")
        cut_off(postgres, place)

        await received(event)  # what was said meanwhile was not heard: time to look
        assert not await here.try_lock("a")
        assert await here.try_lock("b")
        assert not await there.try_lock("a")
        here.notify("a")
        await received(event)


@contextlib.asynccontextmanager
async def next_in_line(postgres, place, name):
    """A session of another program that waits for a lock, and gets it as soon as it is free."""
    async with await psycopg.AsyncConnection.connect(
        place.url, autocommit=True, application_name="patient"
    ) as other:
        waiting = asyncio.create_task(
            other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 1))", [name])
        )
        while not postgres.run(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield waiting


async def test_lock_that_another_server_took_meanwhile_is_lost(peers, place, postgres):
    here, _ = peers
    assert await here.try_lock("a")
    async with next_in_line(postgres, place, "a") as taken:
        cut_off(postgres, place, but="patient")
        await taken

        assert await here.try_lock("b")
        await here.unlock("a")
        assert not await here.try_lock("a")
    assert await until(here.try_lock, "a")


async def test_locks_are_acquired_again_though_whoever_asks_for_another_leaves(peers, place, postgres):
    here, there = peers
    names = [f"chat:{number}" for number in range(300)]
    assert all(await asyncio.gather(*map(here.try_lock, names)))
    cut_off(postgres, place)

    asking = asyncio.create_task(here.try_lock("z"))
    await asyncio.sleep(0)
    asking.cancel()

    async with asyncio.timeout(20):
        while postgres.run(HELD) != [(len(names),)]:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not any(await asyncio.gather(*map(there.try_lock, names)))
    assert await until(there.try_lock, "z")


async def test_lock_whose_caller_left_as_it_was_acquired_is_free(peers):
    here, there = peers
    for _ in range(20):
        asking = asyncio.create_task(here.try_lock("a"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

        assert await until(there.try_lock, "a")
        await there.unlock("a")


async def test_unlock_does_not_fail_when_the_database_is_gone(place):
    async with PostgresProxy(place.url) as proxy, closing(PostgresPeers(proxy.url)) as peers:
        assert await peers.try_lock("a")
        proxy.refuses = True
        proxy.cut()

        await peers.unlock("a")


async def test_locks_are_back_soon_after_the_database_is(peers, place):
    async with PostgresProxy(place.url) as proxy, closing(PostgresPeers(proxy.url)) as there:
        assert await there.try_lock("a")
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            while True:
                await there.try_lock("b")
        proxy.refuses = False

        assert await until_reached(there.try_lock, "c")
        assert await until_held_elsewhere(peers[0], "a")


async def test_connection_that_falls_silent_is_replaced(place, monkeypatch):
    monkeypatch.setattr("server.storage.postgres.locks._ANSWER_SECONDS", 0.2)
    async with PostgresProxy(place.url) as proxy, closing(PostgresPeers(proxy.url)) as peers:
        assert await peers.try_lock("a")
        proxy.hold()
        with pytest.raises(StorageUnavailable):
            await peers.try_lock("b")
        proxy.resume()

        assert await until_reached(peers.try_lock, "c")


async def test_locks_asked_for_at_once_share_round_trips(place):
    async with PostgresProxy(place.url) as proxy, closing(PostgresPeers(proxy.url)) as peers:
        assert await peers.try_lock("first")
        before = proxy.requests

        names = [f"chat:{number}" for number in range(200)]
        assert all(await asyncio.gather(*map(peers.try_lock, names)))
        for name in names:
            await peers.unlock(name)
        assert await peers.try_lock("last")

        assert proxy.requests - before <= 6


async def test_missing_database_is_reported():
    peers = PostgresPeers("postgresql://127.0.0.1:1/nobody")

    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await peers.try_lock("a")
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await peers.try_lock("a")


# --- keys ---------------------------------------------------------------------------------------------------


async def test_key_is_looked_up_once_in_a_while_and_not_believed_after_a_word(place, store):
    other = await place.open()
    made = [await store.keys.create("acme", "api") for _ in range(2)]
    reads = []
    read = other.database.read
    other.database.read = lambda work: reads.append(1) or read(work)
    with other.peers.listen("keys") as event:
        await received(event)
        await other.keys.caller("nobody's")
        for _ in range(5):
            assert (await other.keys.caller(made[0].key)).key_id == made[0].id
        looks = len(reads)

        await store.keys.revoke(made[0].id)
        await received(event)

        assert await other.keys.caller(made[0].key) is None
        assert await other.keys.caller(made[1].key)
        assert looks <= 3


async def test_revoked_key_dies_within_a_second_even_when_no_word_is_heard(place, store, monkeypatch):
    other = await place.open()
    made = await store.keys.create("acme", "api")
    store.peers.notify = lambda topic: None
    now = 0.0
    monkeypatch.setattr("server.storage.keys.time.monotonic", lambda: now)
    assert await other.keys.caller(made.key)
    await store.keys.revoke(made.id)
    now = 1.0

    assert await other.keys.caller(made.key) is None
