"""What is forgotten by itself, and what is not: expired sessions and old chats when the operator says so."""

import asyncio
from typing import Any

import pytest

from server.core.errors import NotFound
from server.storage.chat_events import EventBatch
from server.storage.outbox import Delivery
from server.storage.retention import Retention
from server.storage.scope import Scope
from server.storage.sqlite.checking import findings
from tests.conftest import rows_of

DAY = 86_400_000


@pytest.fixture
def sweep(store, clock):
    async def sweep(days: float | None) -> dict[str, int]:
        return await Retention(store, days, clock).sweep()

    return sweep


def damage(path) -> list[Any]:
    """What is wrong with the file; nothing where there is none."""
    return findings(path) if path.exists() else []


async def is_there(store, recorder, session: Any) -> bool:
    try:
        await store.sessions.find(recorder.scope, session.session.id)
    except NotFound:
        return False
    return True


async def test_without_a_setting_nothing_that_was_said_is_deleted(store, recorder, clock, sweep):
    session = await recorder.open_session("said before")
    await recorder.add("in it", session=session)
    await recorder.add("alone")
    clock.now += 10_000 * DAY

    assert await sweep(None) == {"idempotency_keys": 0, "deliveries": 0}

    assert (await recorder.rows("sessions"), await recorder.rows("chats")) == (1, 2)


async def test_session_goes_with_its_chats_when_it_has_been_expired_for_that_long(
    store, recorder, clock, sweep, tmp_path
):
    session = await recorder.open_session("said before")
    await recorder.add("in it", session=session)
    other = await recorder.open_session("said before", expiration_seconds=3600)
    clock.now += 30 * DAY + 61_000

    assert await sweep(30) == {"idempotency_keys": 0, "deliveries": 0, "sessions": 1, "chats": 0}

    assert [await is_there(store, recorder, one) for one in (session, other)] == [False, True]
    assert await recorder.rows("chats") == 0
    assert damage(tmp_path / "parley.db") == []
    clock.now += 3600_000
    assert (await sweep(30))["sessions"] == 1
    assert await recorder.rows("messages") == 0


async def test_session_that_was_written_to_since_stays(store, recorder, clock, sweep):
    session = await recorder.open_session("said before")
    clock.now += 20 * DAY
    await recorder.add("still here", session=session)
    clock.now += 20 * DAY

    assert (await sweep(30))["sessions"] == 0

    assert await is_there(store, recorder, session)


async def test_session_in_use_again_between_the_search_and_the_deletion_stays(store, recorder, clock):
    session = await recorder.open_session("said before")
    clock.now += 40 * DAY
    until = clock.now - 30 * DAY
    found = await store.sessions.expired(recorder.key.org_id, until, 20)
    await recorder.add("back again", session=session)

    assert found == [session.session.id]
    assert await store.sessions.delete_expired(recorder.key.org_id, found, until) == 0
    assert await is_there(store, recorder, session)


async def test_chats_of_a_chain_go_one_by_one_and_leave_what_younger_ones_need(
    store, recorder, clock, sweep, tmp_path
):
    first = await recorder.add("one")
    clock.now += 20 * DAY
    second = await recorder.add("two", previous=first)
    clock.now += 20 * DAY

    assert (await sweep(30))["chats"] == 1

    assert await recorder.history(second) == ["one", "re: one", "two", "re: two"]
    assert damage(tmp_path / "parley.db") == []
    clock.now += 20 * DAY
    assert (await sweep(30))["chats"] == 1
    assert await recorder.rows("messages") == 0


async def test_exchange_in_progress_stays(store, recorder, clock, sweep):
    exchange = recorder.exchange("one", status="in_progress")
    await store.chats.begin(exchange, EventBatch(exchange.chat.org_id, exchange.chat.id, []))
    clock.now += 40 * DAY

    assert (await sweep(30))["chats"] == 0


async def test_deletion_is_reported_once_however_many_sweep(store, recorder, clock):
    announced = []

    def compose(_, kind, record, *__):
        announced.append((kind, record.id))
        return tuple

    sessions = [await recorder.open_session("said before") for _ in range(50)]
    chats = [await recorder.add("alone") for _ in range(50)]
    clock.now += 40 * DAY

    swept = await asyncio.gather(
        *(Retention(store.announcing_with(compose), 30, clock).sweep() for _ in range(3))
    )

    assert sum(one.get("sessions", 0) for one in swept) == sum(one.get("chats", 0) for one in swept) == 50
    assert sorted(announced) == sorted(
        [("session.deleted", one.session.id) for one in sessions]
        + [("chat.deleted", one.id) for one in chats]
    )


async def test_numbers_of_what_is_swept_are_kept(store, recorder, clock, sweep):
    await recorder.add("alone")
    session = await recorder.open_session()
    await recorder.add("in it", session=session)
    clock.now += 40 * DAY
    await sweep(30)

    assert await rows_of(store, "SELECT sum(prompt_tokens) FROM deleted_usage") == [(6,)]


async def test_idempotency_keys_are_forgotten_after_a_day_in_any_case(store, recorder, clock, sweep):
    scope = Scope(recorder.key.org_id)
    for number in range(45):
        claim = await store.idempotency.claim(scope, f"key-{number}", b"fingerprint")
        await store.idempotency.persist(claim, b"answer")
        await store.idempotency.release(claim)
    clock.now += DAY - 1
    assert (await sweep(None))["idempotency_keys"] == 0
    clock.now += 1

    assert (await sweep(None))["idempotency_keys"] == 45

    assert await recorder.rows("idempotency_keys") == 0


async def test_receipts_and_dead_deliveries_are_forgotten_after_a_week(store, recorder, clock, sweep):
    delivery = Delivery(org_id=recorder.key.org_id, kind="webhook", lane="lane", body=b"what was said")
    await store.outbox.receive(delivery, "receipt")
    [waiting] = await store.outbox.due(10, (), ())
    await store.outbox.bury(waiting, "gone")
    clock.now += 7 * DAY
    assert (await sweep(None))["deliveries"] == 0
    clock.now += 1

    assert (await sweep(None))["deliveries"] == 2

    assert (await recorder.rows("outbox"), await recorder.rows("receipts")) == (0, 0)


async def test_batches_leave_room_for_others(store, recorder, clock, sweep):
    for _ in range(100):
        await recorder.open_session("said before")
    clock.now += 40 * DAY
    sweeping = asyncio.create_task(sweep(30))
    during = 0
    while not sweeping.done():
        await recorder.add("meanwhile")
        during += 1

    assert (await sweeping)["sessions"] == 100
    assert during >= 5  # at least one between any two batches
